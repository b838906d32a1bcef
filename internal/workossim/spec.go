package workossim

import (
	"errors"
)

// connectionSpec is a Connection in YAML and JSON.
type connectionSpec struct {
	ID
	State         State    `json:"state"`
	Lifetime      duration `json:"lifetime"`
	ExpiryLayout  string   `json:"expiryLayout"`
	NoExpiry      bool     `json:"noExpiry"`
	RefreshLead   duration `json:"refreshLead"`
	AlwaysFresh   bool     `json:"alwaysFresh"`
	Scopes        []string `json:"scopes"`
	MissingScopes []string `json:"missingScopes"`
	TokenPrefix   string   `json:"tokenPrefix"`

	AuthMethod AuthMethod        `json:"authMethod"`
	Metadata   map[string]any    `json:"metadata"`
	Config     map[string]string `json:"config"`
	NoEvent    bool              `json:"noEvent"`
}

func (spec connectionSpec) connection() (Connection, error) {
	lifetime, lifetimeErr := spec.Lifetime.atLeastZero("lifetime")
	lead, leadErr := spec.RefreshLead.atLeastZero("refreshLead")
	if err := firstOf(checkID(spec.ID), lifetimeErr, leadErr); err != nil {
		return Connection{}, err
	}
	switch {
	case spec.NoExpiry && spec.Lifetime.given():
		return Connection{}, errors.New("noExpiry: use either noExpiry or lifetime")
	case spec.AlwaysFresh && spec.RefreshLead.given():
		return Connection{}, errors.New("alwaysFresh: use either alwaysFresh or refreshLead")
	}
	return Connection{
		ID: spec.ID, State: spec.State, Lifetime: lifetime, NoExpiry: spec.NoExpiry, RefreshLead: lead,
		AlwaysFresh: spec.AlwaysFresh, Scopes: spec.Scopes, MissingScopes: spec.MissingScopes, TokenPrefix: spec.TokenPrefix,
		ExpiryLayout: spec.ExpiryLayout, AuthMethod: spec.AuthMethod, Metadata: spec.Metadata, Config: spec.Config,
		NoEvent: spec.NoEvent,
	}, nil
}

// faultSpec is a Fault in JSON.
type faultSpec struct {
	Endpoint       Endpoint  `json:"endpoint"`
	Match          *ID       `json:"match"`
	Kind           FaultKind `json:"kind"`
	Times          int       `json:"times"`
	Status         int       `json:"status"`
	Body           string    `json:"body"`
	RetryAfter     string    `json:"retryAfter"`
	RetryAfterDate duration  `json:"retryAfterDate"`
	Latency        duration  `json:"latency"`
	DateOffset     duration  `json:"dateOffset"`
}

func (spec faultSpec) fault() (Fault, error) {
	retryAfterDate, retryErr := spec.RetryAfterDate.parse("retryAfterDate")
	latency, latencyErr := spec.Latency.parse("latency")
	dateOffset, dateErr := spec.DateOffset.parse("dateOffset")
	if err := firstOf(retryErr, latencyErr, dateErr); err != nil {
		return Fault{}, err
	}
	f := Fault{
		Endpoint: spec.Endpoint, Match: spec.Match, Kind: spec.Kind, Times: spec.Times, Status: spec.Status, Body: spec.Body,
		RetryAfter: spec.RetryAfter, RetryAfterDate: retryAfterDate, Latency: latency, DateOffset: dateOffset,
	}
	return f, f.Validate()
}
