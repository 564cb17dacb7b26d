// Package config is Waxwing's configuration file: TOML, typed, decoded over
// defaults.
//
// It is strict: an unknown key, a value of the wrong type or unit, and a port
// that is used twice are refused, all at once, each with file, line, column
// and the nearest right name. A bad file stops the start, and never a reload.
//
// The doc comment of a field in config.go and outbound.go is its manual: Sample
// writes the commented file from those comments, and docs/configuration.md holds
// the same words. Rooms never see this package: app turns it into their Options.
package config
