package v1alpha1

// Condition types of a PipesToken. A PipesEnvironment has Ready, Stalled, and the types whose
// comment names the PipesEnvironment.
const (
	// ReadyCondition is always present. True: the Secret holds a valid token for the PipesToken, or
	// the API key of the PipesEnvironment can be used.
	ReadyCondition = "Ready"

	// ConnectedCondition is the last state of the user's connection that WorkOS reported. Absent
	// until WorkOS has reported one.
	ConnectedCondition = "Connected"

	// ScopesGrantedCondition is False while the connection lacks scopes that the integration asks
	// for. The token works, so Ready stays True. Absent while the Secret holds no token.
	ScopesGrantedCondition = "ScopesGranted"

	// RenewalFailedCondition is present, and True, only while renewal fails and the token in the
	// Secret is still valid. Ready stays True. RenewalFailed has the reason that Ready will have if
	// the token expires.
	RenewalFailedCondition = "RenewalFailed"

	// StalledCondition is the kstatus condition of an object that makes no progress until a person
	// changes something. Present only while True.
	StalledCondition = "Stalled"

	// ReconcilingCondition is the kstatus condition of an object that the operator still works on.
	// Present only while True, and never beside Stalled.
	ReconcilingCondition = "Reconciling"

	// GrantsValidCondition of a PipesEnvironment is False while one of its grants is incomplete or
	// cannot be read. Such a grant fits no PipesToken.
	GrantsValidCondition = "GrantsValid"

	// EventsFollowedCondition of a PipesEnvironment says whether the operator receives the events of
	// WorkOS. Absent while spec.events.disabled is true, and until the first answer to a request for
	// events.
	EventsFollowedCondition = "EventsFollowed"

	// UpstreamFailingCondition of a PipesEnvironment is present, and True, only while WorkOS fails
	// or limits the rate, and the operator holds calls back. A PipesToken with a valid token does
	// not report a call that was held back.
	UpstreamFailingCondition = "UpstreamFailing"

	// BudgetTooSmallCondition of a PipesEnvironment is present, and True, only while the renewal of
	// its tokens needs more requests per minute than its API key may make.
	BudgetTooSmallCondition = "BudgetTooSmall"

	// ClockSkewedCondition of a PipesEnvironment is present, and True, only while the clocks of
	// WorkOS and of the operator differ by more than 30 seconds. The operator renews tokens by the
	// clock of WorkOS.
	ClockSkewedCondition = "ClockSkewed"
)

// Reasons of Ready of a PipesToken. RenewalFailed, Stalled and Reconciling have the same reason in
// the same situation.
const (
	// PendingReason: the operator has not reconciled the object yet, or waits until it may call
	// WorkOS.
	PendingReason = "Pending"

	// TokenSyncedReason: the Secret holds a valid token. It is the only reason of Ready=True.
	TokenSyncedReason = "TokenSynced"

	// NotInstalledReason: WorkOS reports that the user has not connected the integration
	// (not_installed).
	NotInstalledReason = "NotInstalled"

	// NeedsReauthorizationReason: WorkOS reports that the user must connect again
	// (needs_reauthorization).
	NeedsReauthorizationReason = "NeedsReauthorization"

	// InactiveReason: WorkOS reports that the connection is not active, with a reason that this
	// version does not know. Such a reason may pass: a valid token stays for an hour, and
	// RenewalFailed reports the reason during that hour.
	InactiveReason = "Inactive"

	// NotGrantedReason: no grant of the PipesEnvironment allows this PipesToken.
	NotGrantedReason = "NotGranted"

	// EnvironmentNotFoundReason: the PipesEnvironment does not exist, or the PipesToken names none
	// and the operator has no default.
	EnvironmentNotFoundReason = "EnvironmentNotFound"

	// EnvironmentNotReadyReason: the API key or the base URL of the PipesEnvironment cannot be
	// used, or WorkOS refuses the key (401).
	EnvironmentNotReadyReason = "EnvironmentNotReady"

	// IntegrationNotFoundReason: WorkOS knows no such slug, user, organization or connected account
	// (404).
	IntegrationNotFoundReason = "IntegrationNotFound"

	// AccountSelectionRequiredReason: several connections match (409). spec.connectedAccountID of
	// another PipesToken can name one of them.
	AccountSelectionRequiredReason = "AccountSelectionRequired"

	// AuthMethodMismatchReason: the connected account uses another method than spec.authMethod (422,
	// or the method of the answer). The message names the method to use.
	AuthMethodMismatchReason = "AuthMethodMismatch"

	// RequestRejectedReason: WorkOS refuses the request for another reason (other 3xx and 4xx).
	RequestRejectedReason = "RequestRejected"

	// RateLimitedReason: WorkOS limits the rate of the API key (429).
	RateLimitedReason = "RateLimited"

	// UpstreamUnavailableReason: WorkOS cannot be reached, fails (5xx), or sends an answer that the
	// operator cannot read.
	UpstreamUnavailableReason = "UpstreamUnavailable"

	// TokenExpiredReason: the token has expired, and WorkOS has returned no newer one.
	TokenExpiredReason = "TokenExpired"

	// SecretConflictReason: a Secret of that name exists and has another owner. The operator never
	// changes it.
	SecretConflictReason = "SecretConflict"

	// SecretRejectedReason: the API server refuses the Secret, for example because of a quota, an
	// admission policy or an immutable Secret.
	SecretRejectedReason = "SecretRejected"

	// SecretNotWrittenReason: the API server does not accept the Secret at the moment, for example
	// because of a 5xx, a 429, a timeout, or an admission webhook that is down. The message quotes
	// the API server.
	SecretNotWrittenReason = "SecretNotWritten"

	// SecretChangedReason: an admission policy or webhook removes or changes data that the operator
	// writes. The message names the data.
	SecretChangedReason = "SecretChanged"

	// InvalidTemplateReason: secretTemplate cannot be used. The Secret stays as it is.
	InvalidTemplateReason = "InvalidTemplate"

	// SuspendedReason: spec.suspend is true, and the Secret holds no valid token.
	SuspendedReason = "Suspended"
)

// Reasons of Connected=True of a PipesToken. The reasons of Connected=False are NotInstalledReason,
// NeedsReauthorizationReason and InactiveReason.
const (
	// ConnectedReason: WorkOS returned a token.
	ConnectedReason = "Connected"
)

// Reasons of ScopesGranted of a PipesToken.
const (
	// AllScopesGrantedReason: the user has granted every scope that the integration asks for.
	AllScopesGrantedReason = "AllScopesGranted"

	// MissingScopesReason: the user has not granted every scope. The message lists the missing
	// ones.
	MissingScopesReason = "MissingScopes"
)

// Reasons of Ready of a PipesEnvironment.
const (
	// AvailableReason: the operator has read the API key, and WorkOS has not refused it.
	AvailableReason = "Available"

	// APIKeyNotFoundReason: the Secret with the API key does not exist, or lacks the key that
	// apiKeySecretRef names.
	APIKeyNotFoundReason = "APIKeyNotFound"

	// APIKeyForbiddenReason: the operator may not read the Secret with the API key.
	APIKeyForbiddenReason = "APIKeyForbidden"

	// APIKeyInvalidReason: the API key is empty, or has white space, control or non-ASCII
	// characters inside.
	APIKeyInvalidReason = "APIKeyInvalid"

	// APIKeyRejectedReason: WorkOS refuses the API key (401).
	APIKeyRejectedReason = "APIKeyRejected"

	// UpstreamNotAllowedReason: the operator may not send API keys to the base URL.
	UpstreamNotAllowedReason = "UpstreamNotAllowed"
)

// Reasons of GrantsValid of a PipesEnvironment.
const (
	// GrantsReadReason: every grant can be read.
	GrantsReadReason = "GrantsRead"

	// InvalidGrantReason: a grant lacks a list, or its label selector cannot be read. The message
	// names the field.
	InvalidGrantReason = "InvalidGrant"
)

// Reasons of EventsFollowed of a PipesEnvironment.
const (
	// EventsReceivedReason: WorkOS answers the requests for events.
	EventsReceivedReason = "EventsReceived"

	// EventsRefusedReason: WorkOS refuses the requests for events, for example because the API key
	// may not read events. Users who connect are noticed by slow polls.
	EventsRefusedReason = "EventsRefused"

	// EventsUnavailableReason: WorkOS does not answer the requests for events at the moment, or the
	// PipesEnvironment is not ready.
	EventsUnavailableReason = "EventsUnavailable"
)

// Reasons of BudgetTooSmall of a PipesEnvironment. The reasons of UpstreamFailing are
// UpstreamUnavailableReason and RateLimitedReason.
const (
	// RenewalsExceedBudgetReason: the message has the rate that is needed and the rate that is
	// allowed.
	RenewalsExceedBudgetReason = "RenewalsExceedBudget"
)

// Reasons of ClockSkewed of a PipesEnvironment.
const (
	// ClocksDifferReason: the message says which clock is ahead, and by how much.
	ClocksDifferReason = "ClocksDiffer"
)

// Metadata keys that the operator reads and writes.
const (
	// RefreshRequestedAtAnnotation of a PipesToken makes the operator call WorkOS once, now,
	// whenever its value changes. The value is any text, usually a timestamp.
	// status.lastHandledRefreshRequest repeats it once WorkOS has answered.
	RefreshRequestedAtAnnotation = "pipes.workos.com/refresh-requested-at"

	// TokenLabel of a Secret names the PipesToken that owns it. If that name is too long for a
	// label value, the value is a hash of it.
	TokenLabel = "pipes.workos.com/token"

	// ManagedByLabel of a Secret selects the Secrets of the operator.
	ManagedByLabel = "app.kubernetes.io/managed-by"

	// ManagedByValue is the value of ManagedByLabel.
	ManagedByValue = "pipes-operator"
)
