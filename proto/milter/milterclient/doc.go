// Package milterclient is the machine that speaks with one milter for one
// connection of ours: it negotiates, tells the filter step by step what the
// client does, and gives what the filter decides and changes. It knows no
// policy: what to do with a verdict, and what if the filter is down, is for
// the caller.
//
// An error of any method is trouble with the filter, not a verdict; the
// connection to it is of no more use then.
package milterclient
