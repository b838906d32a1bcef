package v1alpha1

// Condition types of a PipesToken. A PipesEnvironment uses Ready and Stalled of them, and those that say so.
const (
	// ReadyCondition is always present. True: the Secret holds a usable token for this object.
	ReadyCondition = "Ready"

	// ConnectedCondition is what WorkOS last said of the user's connection. Absent until WorkOS has said something.
	ConnectedCondition = "Connected"

	// ScopesGrantedCondition is False while the connection lacks scopes that the integration is configured to ask for.
	// The token works all the same, so Ready stays True. Absent until a token has been obtained.
	ScopesGrantedCondition = "ScopesGranted"

	// RenewalFailedCondition is present, and then True, only while renewal fails and the token in the Secret is still
	// valid. Ready stays True meanwhile; RenewalFailed carries the reason that Ready will have if the token expires.
	RenewalFailedCondition = "RenewalFailed"

	// StalledCondition is kstatus' mark of an object that cannot go on until somebody changes something.
	// Present only while True.
	StalledCondition = "Stalled"

	// ReconcilingCondition is kstatus' mark of an object that the controller is still working on by itself.
	// Present only while True, and never beside Stalled.
	ReconcilingCondition = "Reconciling"

	// GrantsValidCondition on a PipesEnvironment is False while one of its grants is incomplete or
	// cannot be read, and so fits nobody.
	GrantsValidCondition = "GrantsValid"

	// UpstreamFailingCondition on a PipesEnvironment is present, and then True, only while WorkOS is down or has asked for
	// patience, so that its PipesTokens ask less often or not at all. Those whose token is still valid do not tell.
	UpstreamFailingCondition = "UpstreamFailing"

	// BudgetTooSmallCondition on a PipesEnvironment is present, and then True, only while its API key may make fewer
	// requests a minute than it takes to renew its tokens in time.
	BudgetTooSmallCondition = "BudgetTooSmall"

	// ClockSkewedCondition on a PipesEnvironment is present, and then True, only while the clocks of
	// WorkOS and of the operator are more than 30 seconds apart. Tokens are renewed by WorkOS's.
	ClockSkewedCondition = "ClockSkewed"
)

// Reasons of a PipesToken's Ready condition. The reasons of failures are also the reasons of RenewalFailed, Stalled and
// Reconciling in the same situation.
const (
	// PendingReason: the controller has not looked at the object yet, or has not been able to ask WorkOS yet.
	PendingReason = "Pending"

	// TokenSyncedReason: the Secret holds the token that WorkOS returned last.
	TokenSyncedReason = "TokenSynced"

	// NotInstalledReason: WorkOS says that the user has not connected this integration (not_installed).
	NotInstalledReason = "NotInstalled"

	// NeedsReauthorizationReason: WorkOS says that the user has to connect again (needs_reauthorization).
	NeedsReauthorizationReason = "NeedsReauthorization"

	// InactiveReason: WorkOS says that the connection is not active, for a reason this version does not know.
	// It may pass: a valid token stays for an hour, and RenewalFailed tells meanwhile.
	InactiveReason = "Inactive"

	// NotGrantedReason: no grant of the PipesEnvironment allows this PipesToken.
	NotGrantedReason = "NotGranted"

	// EnvironmentNotFoundReason: the PipesEnvironment does not exist, or none is named and the operator has no default.
	EnvironmentNotFoundReason = "EnvironmentNotFound"

	// EnvironmentNotReadyReason: the PipesEnvironment has no usable API key or base URL, or WorkOS refused the key (401).
	EnvironmentNotReadyReason = "EnvironmentNotReady"

	// IntegrationNotFoundReason: WorkOS knows no such slug, user or organization (404).
	IntegrationNotFoundReason = "IntegrationNotFound"

	// AccountSelectionRequiredReason: several connections of the user match (409).
	AccountSelectionRequiredReason = "AccountSelectionRequired"

	// AuthMethodMismatchReason: the connected account does not use OAuth, so it has no access token (422).
	AuthMethodMismatchReason = "AuthMethodMismatch"

	// RequestRejectedReason: WorkOS refused the request for a reason of its own (any other 4xx).
	RequestRejectedReason = "RequestRejected"

	// RateLimitedReason: WorkOS said that the API key makes too many requests (429).
	RateLimitedReason = "RateLimited"

	// UpstreamUnavailableReason: WorkOS could not be reached, failed (5xx), or gave an answer that cannot be read.
	UpstreamUnavailableReason = "UpstreamUnavailable"

	// TokenExpiredReason: the token has expired and WorkOS hands out none that is newer.
	TokenExpiredReason = "TokenExpired"

	// SecretConflictReason: a Secret of that name exists and belongs to somebody else. It is never touched.
	SecretConflictReason = "SecretConflict"

	// SecretRejectedReason: the API server refuses the Secret (a quota, an admission policy, an immutable Secret ...).
	SecretRejectedReason = "SecretRejected"

	// SecretNotWrittenReason: the API server does not take the Secret for a reason that should pass (5xx, 429, a timeout,
	// an admission webhook that is down). The message has the API server's words.
	SecretNotWrittenReason = "SecretNotWritten"

	// SecretChangedReason: an admission policy or webhook removes or changes what the operator writes, so that the Secret
	// cannot be kept. The message names what.
	SecretChangedReason = "SecretChanged"

	// InvalidTemplateReason: secretTemplate cannot be rendered.
	InvalidTemplateReason = "InvalidTemplate"

	// SuspendedReason: spec.suspend is true and the Secret holds no valid token.
	SuspendedReason = "Suspended"
)

// Reasons of a PipesToken's Connected condition; the reasons of False are NotInstalledReason,
// NeedsReauthorizationReason and InactiveReason.
const (
	// ConnectedReason: WorkOS returned a token.
	ConnectedReason = "Connected"
)

// Reasons of a PipesToken's ScopesGranted condition.
const (
	// AllScopesGrantedReason: the connection has every scope that the integration asks for.
	AllScopesGrantedReason = "AllScopesGranted"

	// MissingScopesReason: the user did not grant every scope; the message lists the missing ones.
	MissingScopesReason = "MissingScopes"
)

// Reasons of a PipesEnvironment's Ready condition.
const (
	// AvailableReason: the API key was read, and WorkOS has not refused it.
	AvailableReason = "Available"

	// APIKeyNotFoundReason: the Secret with the API key does not exist, or lacks the key entry.
	APIKeyNotFoundReason = "APIKeyNotFound"

	// APIKeyForbiddenReason: the operator may not read the Secret with the API key.
	APIKeyForbiddenReason = "APIKeyForbidden"

	// APIKeyInvalidReason: the entry is empty, or holds what cannot be an API key (spaces, control characters).
	APIKeyInvalidReason = "APIKeyInvalid"

	// APIKeyRejectedReason: WorkOS refused the API key (401).
	APIKeyRejectedReason = "APIKeyRejected"

	// UpstreamNotAllowedReason: the base URL is not one that the operator may send API keys to.
	UpstreamNotAllowedReason = "UpstreamNotAllowed"
)

// Reasons of a PipesEnvironment's GrantsValid condition.
const (
	// GrantsReadReason: every grant can be read.
	GrantsReadReason = "GrantsRead"

	// InvalidGrantReason: a grant lacks a list, or its label selector cannot be read; the message
	// says which.
	InvalidGrantReason = "InvalidGrant"
)

// Reasons of a PipesEnvironment's UpstreamFailing condition are UpstreamUnavailableReason and RateLimitedReason; those
// of its BudgetTooSmall condition:
const (
	// RenewalsExceedBudgetReason: the message has both rates.
	RenewalsExceedBudgetReason = "RenewalsExceedBudget"
)

// Reasons of a PipesEnvironment's ClockSkewed condition.
const (
	// ClocksDifferReason: the message says by how much, and which clock is ahead.
	ClocksDifferReason = "ClocksDiffer"
)

// Metadata keys that the operator reads and writes.
const (
	// RefreshRequestedAtAnnotation on a PipesToken asks for one fetch now whenever its value changes. The value is
	// free; a timestamp is usual. status.lastHandledRefreshRequest echoes it.
	RefreshRequestedAtAnnotation = "pipes.workos.com/refresh-requested-at"

	// TokenLabel on a Secret names the PipesToken that it belongs to (a hash of the name when that is too long for a
	// label value).
	TokenLabel = "pipes.workos.com/token"

	// ManagedByLabel on a Secret is the label that selects the operator's own Secrets.
	ManagedByLabel = "app.kubernetes.io/managed-by"

	// ManagedByValue is the value of ManagedByLabel.
	ManagedByValue = "pipes-operator"
)
