// Package app opens the house: it turns a configuration into rooms, wired by
// hand, top to bottom, and runs them until it is told to stop.
//
// Open binds ports, loads certificates, gives up privileges, and then opens
// the store and everything above it. Run serves. When its context ends the
// doors stop accepting and let what is under way come to an end; then what
// works behind them stops, and then the store closes.
package app
