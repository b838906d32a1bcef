package pipestoken

import "time"

// observeClock sets the time and the skew of an observation.
func (r *Reconciler) observeClock(seen *observation) {
	local := r.Clock.Now()
	seen.skew = r.Connections.Skew(r.environmentOf(seen.token), local)
	// Stored times have no monotonic reading. Round removes the monotonic reading, so that no
	// time is compared by it.
	seen.now = local.Round(0).Add(seen.skew)
}

// local returns the time by the operator's own clock.
func (seen observation) local() time.Time { return seen.now.Add(-seen.skew) }
