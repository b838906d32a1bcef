package workossim

import "time"

// Emit adds an event that no change caused: forged, repeated, of another time or about another
// connection. It returns the ID of the event. Emit works with Options.NoEvents too. An event
// with the ID of an earlier one takes its place as a cursor: after means the last one.
func (s *Simulator) Emit(e Event) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.events.emit(e, s.now())
}

// Events returns the events that are visible now, in the order of the events endpoint.
func (s *Simulator) Events() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.events.advance(now)
	var events []Event
	for _, record := range s.events.records {
		if !s.events.expired(record, now) {
			events = append(events, record.event().withDefaults(now))
		}
	}
	return events
}

// LoseEvents loses the events of the next n changes. It replaces the number of an earlier call.
func (s *Simulator) LoseEvents(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events.lose = n
}

// DelayEvents makes the events of changes from now on visible only after d, by the clock of the
// simulator. Their created_at is still the time of the change.
func (s *Simulator) DelayEvents(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events.delay = d
}

// ForgetEvents deletes all events, also those that are not visible yet. Cursors become unknown.
func (s *Simulator) ForgetEvents() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events.records, s.events.late = nil, nil
}

// ForbidEvents decides whether the events endpoint answers 403; see Options.EventsForbidden.
func (s *Simulator) ForbidEvents(forbidden bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.eventsForbidden = forbidden
}

// KnowEventFamilies replaces the families that the environment knows; see
// Options.KnownEventFamilies.
func (s *Simulator) KnowEventFamilies(families ...EventFamily) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.eventTypes = EventTypes(families...)
}
