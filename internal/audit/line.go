package audit

import "time"

// Decision is what happened to a token.
type Decision string

// The decisions.
const (
	// Granted: the API server has accepted a Secret with the token.
	Granted Decision = "granted"
	// Cleared: the operator has removed the token from the Secret, or the Secret with the token.
	Cleared Decision = "cleared"
	// Refused: the PipesToken gets no token, because an obstacle or WorkOS denies it.
	Refused Decision = "refused"
)

// Line is a line of the audit log. It has no field for a token, so that none can get there.
type Line struct {
	// Time is in UTC.
	Time time.Time `json:"time"`
	// Namespace, Name and UID are those of the PipesToken.
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid"`

	Slug            string `json:"slug"`
	UserID          string `json:"userID"`
	OrganizationID  string `json:"organizationID,omitempty"`
	ConnectionOwner string `json:"connectionOwner"`
	// Environment is the PipesEnvironment, as "namespace/name". Empty: the PipesToken has none.
	Environment string `json:"environment,omitempty"`

	Decision Decision `json:"decision"`
	// Reason is a reason of the conditions of a PipesToken.
	Reason string `json:"reason"`
	// RequestID is WorkOS's ID of the answer that led to the decision. Empty: none did.
	RequestID string `json:"requestID,omitempty"`
}
