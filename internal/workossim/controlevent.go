package workossim

import (
	"encoding/json"
	"errors"
	"time"
)

// eventSpec is an Event in JSON.
type eventSpec struct {
	ID         string          `json:"id"`
	Type       EventType       `json:"type"`
	CreatedAt  time.Time       `json:"createdAt,omitzero"`
	Connection ID              `json:"connection"`
	State      State           `json:"state,omitempty"`
	Scopes     []string        `json:"scopes,omitempty"`
	ErrorCode  string          `json:"errorCode,omitempty"`
	Data       json.RawMessage `json:"data,omitempty"`
	Delay      duration        `json:"delay,omitzero"`
}

func (spec eventSpec) event() (Event, error) {
	if spec.Type == "" {
		return Event{}, errors.New("type: name the type, such as " + string(EventConnected))
	}
	delay, err := spec.Delay.atLeastZero("delay")
	return Event{
		ID: spec.ID, Type: spec.Type, CreatedAt: spec.CreatedAt, Connection: spec.Connection, State: spec.State,
		Scopes: spec.Scopes, ErrorCode: spec.ErrorCode, Data: spec.Data, Delay: delay,
	}, err
}

func (s *Simulator) controlEmit(spec eventSpec) (any, error) {
	e, err := spec.event()
	if err != nil {
		return nil, err
	}
	return map[string]string{"id": s.Emit(e)}, nil
}

func (s *Simulator) controlEvents(struct{}) (any, error) {
	specs := []eventSpec{}
	for _, e := range s.Events() {
		specs = append(specs, eventSpec{
			ID: e.ID, Type: e.Type, CreatedAt: e.CreatedAt, Connection: e.Connection, State: e.State,
			Scopes: e.Scopes, ErrorCode: e.ErrorCode, Data: e.Data,
		})
	}
	return map[string][]eventSpec{"events": specs}, nil
}

// controlEventRules changes the rules that are given, and leaves the others alone.
func (s *Simulator) controlEventRules(wanted struct {
	Lose          *int          `json:"lose"`
	Delay         duration      `json:"delay"`
	Forbidden     *bool         `json:"forbidden"`
	KnownFamilies []EventFamily `json:"knownFamilies"`
}) (any, error) {
	delay, err := wanted.Delay.atLeastZero("delay")
	if err := firstOf(err, checkFamilies("knownFamilies", wanted.KnownFamilies)); err != nil {
		return nil, err
	}
	if wanted.Lose != nil {
		if *wanted.Lose < 0 {
			return nil, errors.New("lose: use 0 or more")
		}
		s.LoseEvents(*wanted.Lose)
	}
	if wanted.Delay.given() {
		s.DelayEvents(delay)
	}
	if wanted.Forbidden != nil {
		s.ForbidEvents(*wanted.Forbidden)
	}
	if wanted.KnownFamilies != nil {
		s.KnowEventFamilies(wanted.KnownFamilies...)
	}
	return nil, nil
}

func (s *Simulator) controlEventRequests(struct{}) (any, error) {
	requests := append([]Request{}, s.EventRequests()...)
	return map[string][]Request{"requests": requests}, nil
}
