// Package walltime makes instants whose wall time and monotonic reading disagree, as time.Now does
// after the clock of a machine has been set. Only tests use it.
package walltime

import (
	"time"
	"unsafe"
)

// Set returns an instant with the monotonic reading of t and the wall time of wall. t must have a
// monotonic reading. Only package time can make such a value, so Set writes into its fields.
func Set(t, wall time.Time) time.Time {
	const monotonicBit, nanosecondBits, secondsTo1970 = 1 << 63, 30, 2682288000 // since 1885
	seconds := uint64(wall.Unix()+secondsTo1970)<<nanosecondBits | uint64(wall.Nanosecond())
	*(*uint64)(unsafe.Pointer(&t)) = monotonicBit | seconds //nolint:gosec // as package time lays it out
	return t
}
