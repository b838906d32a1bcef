package workossim

import (
	"slices"
	"time"
)

// connectionView is a connection as ControlHandler shows it.
type connectionView struct {
	ID
	State State `json:"state"`
	// AuthMethod is empty for AuthOAuth.
	AuthMethod  AuthMethod `json:"authMethod,omitempty"`
	TokenSerial int        `json:"tokenSerial,omitempty"`
	ExpiresAt   *time.Time `json:"expiresAt,omitempty"`
}

func viewOf(a *account) connectionView {
	view := connectionView{ID: a.ID, State: a.State, TokenSerial: a.token.serial}
	if a.AuthMethod != AuthOAuth {
		view.AuthMethod = a.AuthMethod
	}
	if !a.token.expires.IsZero() {
		expires := a.token.expires
		view.ExpiresAt = &expires
	}
	return view
}

func (s *Simulator) connectionView(id ID) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, found := s.accounts[id.canonical()]
	if !found { // removed by another caller in the meantime
		return nil, noConnection(id)
	}
	return viewOf(a), nil
}

func (s *Simulator) connectionViews() any {
	s.mu.Lock()
	defer s.mu.Unlock()
	views := []connectionView{}
	for _, a := range s.accounts {
		views = append(views, viewOf(a))
	}
	slices.SortFunc(views, func(a, b connectionView) int { return a.compare(b.ID) })
	return struct {
		Connections []connectionView `json:"connections"`
	}{views}
}

// requestReport contains the requests as ControlHandler shows them.
type requestReport struct {
	Total    int             `json:"total"`
	Counts   []requestCounts `json:"counts"`
	Requests []Request       `json:"requests"`
}

// requestCounts are the requests for one connection, in total and by result.
type requestCounts struct {
	ID
	Total   int            `json:"total"`
	Results map[string]int `json:"results"`
}

func reportOf(requests []Request) requestReport {
	byID := map[ID]*requestCounts{}
	for _, r := range requests {
		if byID[r.ID] == nil {
			byID[r.ID] = &requestCounts{ID: r.ID, Results: map[string]int{}}
		}
		byID[r.ID].Total++
		byID[r.ID].Results[r.Result]++
	}
	counts := []requestCounts{}
	for _, c := range byID {
		counts = append(counts, *c)
	}
	slices.SortFunc(counts, func(a, b requestCounts) int { return a.compare(b.ID) })
	return requestReport{Total: len(requests), Counts: counts, Requests: append([]Request{}, requests...)}
}
