// Package hostile attacks the built program as strangers do: with silence in
// every state of a dialog, with floods, with garbage, with more connections
// than anybody needs. All the while somebody else sends mail and reads it, and
// must be served; and the program's memory is weighed.
//
// Nothing here depends on how fast the machine is: an attack lasts until the
// others have been served a number of times while it was at its height.
package hostile
