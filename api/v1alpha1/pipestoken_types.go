package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Comments of types and fields are at most 76 characters wide, because kubectl
// explain keeps their lines and breaks longer ones.

// SecretType is the type of the Secret that a PipesToken writes.
// +kubebuilder:validation:Enum=Opaque;kubernetes.io/basic-auth;kubernetes.io/dockerconfigjson
type SecretType string

const (
	// SecretTypeOpaque is a Secret without a prescribed shape.
	SecretTypeOpaque SecretType = "Opaque"
	// SecretTypeBasicAuth is a Secret with the keys username and password.
	SecretTypeBasicAuth SecretType = "kubernetes.io/basic-auth"
	// SecretTypeDockerConfigJSON is a Secret with the key .dockerconfigjson.
	SecretTypeDockerConfigJSON SecretType = "kubernetes.io/dockerconfigjson"
)

// InactivePolicy says what the operator does with the Secret when WorkOS
// reports that the connection is not active, or when no grant fits any longer.
// +kubebuilder:validation:Enum=Clear;Delete;Retain
type InactivePolicy string

const (
	// InactivePolicyClear removes the token and keeps the Secret. The files
	// disappear from running pods.
	InactivePolicyClear InactivePolicy = "Clear"
	// InactivePolicyDelete deletes the Secret. Running pods keep their files.
	InactivePolicyDelete InactivePolicy = "Delete"
	// InactivePolicyRetain leaves the Secret as it is.
	InactivePolicyRetain InactivePolicy = "Retain"
)

// ConnectionOwner says whose connection a PipesToken uses: WorkOS's
// connection_owner.
// +kubebuilder:validation:Enum=User;Organization
type ConnectionOwner string

const (
	// ConnectionOwnerUser is the connection of the user.
	ConnectionOwnerUser ConnectionOwner = "User"
	// ConnectionOwnerOrganization is the connection that the organization shares
	// with its members.
	ConnectionOwnerOrganization ConnectionOwner = "Organization"
)

// AuthMethod says how the connected account authenticates: WorkOS's
// auth_method.
// +kubebuilder:validation:Enum=OAuth;APIKey;ClientCredentials
type AuthMethod string

const (
	// AuthMethodOAuth is an account that is connected with OAuth (oauth).
	AuthMethodOAuth AuthMethod = "OAuth"
	// AuthMethodAPIKey is an account with an API key (api_key).
	AuthMethodAPIKey AuthMethod = "APIKey"
	// AuthMethodClientCredentials is an account with a client ID and a client
	// secret (client_credentials).
	AuthMethodClientCredentials AuthMethod = "ClientCredentials"
)

// PipesTokenSpec says which token the operator keeps, and in which Secret.
// +kubebuilder:validation:XValidation:rule="has(self.organizationID) == has(oldSelf.organizationID)",message="organizationID cannot be added or removed: create another PipesToken",fieldPath=".organizationID"
// +kubebuilder:validation:XValidation:rule="has(self.environmentRef) == has(oldSelf.environmentRef)",message="environmentRef cannot be added or removed: create another PipesToken",fieldPath=".environmentRef"
// +kubebuilder:validation:XValidation:rule="has(self.secretName) == has(oldSelf.secretName)",message="secretName cannot be added or removed: create another PipesToken",fieldPath=".secretName"
// +kubebuilder:validation:XValidation:rule="(has(self.secretTemplate) ? self.secretTemplate.type : 'Opaque') == (has(oldSelf.secretTemplate) ? oldSelf.secretTemplate.type : 'Opaque')",message="secretTemplate.type is immutable: create another PipesToken",fieldPath=".secretTemplate.type"
// +kubebuilder:validation:XValidation:rule="has(self.connectedAccountID) == has(oldSelf.connectedAccountID)",message="connectedAccountID cannot be added or removed: create another PipesToken",fieldPath=".connectedAccountID"
// +kubebuilder:validation:XValidation:rule="self.connectionOwner != 'Organization' || has(self.organizationID)",reason=FieldValueRequired,message="connectionOwner Organization needs organizationID: name the organization that shares the connection",fieldPath=".organizationID"
type PipesTokenSpec struct {
	// slug names the integration as the WorkOS dashboard does, for example github,
	// slack or google-drive. It is 1 to 128 letters, digits, '-' and '_', and
	// begins with a letter or digit. Immutable.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^([A-Za-z0-9][A-Za-z0-9_-]*)?$')",message="slug must be letters, digits, '-' and '_', and begin with a letter or digit, for example google-drive"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="slug is immutable: create another PipesToken"
	Slug string `json:"slug,omitempty"`

	// userID is the WorkOS ID of the user who owns the connection, for example
	// user_01EHZNVPK3SFK441A1RGBFSHRT. With connectionOwner Organization it is a
	// member of the organization. It is 1 to 128 letters, digits, '-' and '_'.
	// Immutable.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_-]*$')",message="userID must be letters, digits, '-' and '_', for example user_01EHZNVPK3SFK441A1RGBFSHRT"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="userID is immutable: create another PipesToken"
	UserID string `json:"userID,omitempty"`

	// organizationID is the WorkOS ID of the organization of the connection, for
	// example org_01EHZNVPK3SFK441A1RGBFSHRT. It is 1 to 128 letters, digits, '-'
	// and '_'. It must not be "none", because grants use that word for no
	// organization. Default: the connection belongs to no organization. Immutable:
	// it cannot be added or removed later.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_-]*$')",message="organizationID must be letters, digits, '-' and '_', for example org_01EHZNVPK3SFK441A1RGBFSHRT"
	// +kubebuilder:validation:XValidation:rule="self != 'none'",message="organizationID must not be 'none': leave it out for a connection without an organization"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="organizationID is immutable: create another PipesToken"
	OrganizationID string `json:"organizationID,omitempty"`

	// connectionOwner says whose connection the operator uses. User: the
	// connection of the user. Organization: the connection that the organization
	// shares; organizationID is then required, and the user must be an active
	// member of the organization. Default: User. Immutable.
	// +optional
	// +kubebuilder:default=User
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="connectionOwner is immutable: create another PipesToken"
	ConnectionOwner ConnectionOwner `json:"connectionOwner,omitempty"`

	// connectedAccountID selects one of several connections by its WorkOS ID, for
	// example data_installation_01EHZNVPK3SFK441A1RGBFSHRT. It is 1 to 128
	// letters, digits, '-' and '_'. Set it when the reason of Ready is
	// AccountSelectionRequired. Default: the only connection that matches.
	// Immutable: it cannot be added or removed later.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_-]*$')",message="connectedAccountID must be letters, digits, '-' and '_', for example data_installation_01EHZNVPK3SFK441A1RGBFSHRT"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="connectedAccountID is immutable: create another PipesToken"
	ConnectedAccountID string `json:"connectedAccountID,omitempty"`

	// authMethod says how the connected account authenticates. OAuth: the Secret
	// holds an access token. APIKey: it holds an API key. ClientCredentials: it
	// holds an access token that WorkOS gets with the client's credentials.
	// Default: OAuth. Immutable.
	// +optional
	// +kubebuilder:default=OAuth
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="authMethod is immutable: create another PipesToken"
	AuthMethod AuthMethod `json:"authMethod,omitempty"`

	// environmentRef names the PipesEnvironment with the API key. Default: the
	// operator's --default-environment. Immutable: it cannot be added or removed
	// later.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="environmentRef is immutable: create another PipesToken"
	EnvironmentRef *EnvironmentReference `json:"environmentRef,omitempty"`

	// secretName is the name of the Secret, in the namespace of the PipesToken.
	// The operator never changes a Secret that the PipesToken does not own.
	// Default: the name of the PipesToken. Immutable: it cannot be added or
	// removed later.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$')",message="secretName must be a DNS name: lowercase letters, digits, '-' and '.', and a letter or digit at both ends of each part"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="secretName is immutable: create another PipesToken"
	SecretName string `json:"secretName,omitempty"`

	// secretTemplate sets the type, labels, annotations and data of the Secret. It
	// is at most 64 KiB. Default: a Secret of type Opaque with the keys
	// access_token, expires_at (RFC 3339 in UTC; absent if the token has no known
	// expiry) and scopes (separated by spaces). With authMethod APIKey its only
	// key is api_key.
	// +optional
	SecretTemplate *SecretTemplate `json:"secretTemplate,omitempty"`

	// renewBefore is how long before its expiry the operator renews a token: a
	// duration of 10s to 24h, for example 10m. The operator uses at most half of
	// the lifetime of the token. Default: a fifth of the lifetime, at least 2m and
	// at most 30m.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}([.][0-9]{1,9})?(ms|s|m|h))+$') && duration(self) >= duration('10s') && duration(self) <= duration('24h')",message="renewBefore must be a duration between 10s and 24h, such as 90s, 10m or 1h30m"
	RenewBefore *metav1.Duration `json:"renewBefore,omitempty"`

	// refreshInterval is how often the operator fetches a token without a known
	// expiry, to notice revocation, rotation and changed scopes: a duration of 1m
	// to 24h, for example 30m. Tokens with an expiry do not use it. Default: 1h.
	// +optional
	// +kubebuilder:default="1h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}([.][0-9]{1,9})?(ms|s|m|h))+$') && duration(self) >= duration('1m') && duration(self) <= duration('24h')",message="refreshInterval must be a duration between 1m and 24h, such as 5m, 1h or 1h30m"
	RefreshInterval *metav1.Duration `json:"refreshInterval,omitempty"`

	// inactivePolicy says what the operator does with the Secret when WorkOS
	// reports that the connection is not active, or when no grant fits any longer.
	// Clear removes the token and keeps the Secret: the files disappear from
	// running pods. Delete deletes the Secret: running pods keep their files.
	// Retain leaves the Secret as it is. Default: Clear.
	// +optional
	// +kubebuilder:default=Clear
	InactivePolicy InactivePolicy `json:"inactivePolicy,omitempty"`

	// suspend stops all calls to WorkOS for this PipesToken. The Secret stays as
	// it is. If no grant fits any longer, the operator still applies
	// inactivePolicy. Default: false.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// EnvironmentReference names a PipesEnvironment.
type EnvironmentReference struct {
	// name of the PipesEnvironment.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$')",message="name must be a DNS name: lowercase letters, digits, '-' and '.', and a letter or digit at both ends of each part"
	Name string `json:"name,omitempty"`

	// namespace of the PipesEnvironment. Default: the namespace of the PipesToken.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$')",message="namespace must be a DNS label: lowercase letters, digits and '-', and a letter or digit at both ends"
	Namespace string `json:"namespace,omitempty"`
}

// SecretTemplate sets the type, labels, annotations and data of the Secret.
// All keys and values of data, labels and annotations together are at most 64
// KiB.
// +kubebuilder:validation:XValidation:rule="(has(self.data) ? self.data.map(k, k.size() + bytes(self.data[k]).size()).sum() : 0) + (has(self.labels) ? self.labels.map(k, k.size() + bytes(self.labels[k]).size()).sum() : 0) + (has(self.annotations) ? self.annotations.map(k, k.size() + bytes(self.annotations[k]).size()).sum() : 0) <= 65536",message="secretTemplate must be at most 65536 bytes: the keys and values of data, labels and annotations together"
// +kubebuilder:validation:XValidation:rule="self.type != 'kubernetes.io/basic-auth' || (has(self.data) && ('username' in self.data || 'password' in self.data))",message="a Secret of type kubernetes.io/basic-auth needs data with the key username or password",fieldPath=".data"
// +kubebuilder:validation:XValidation:rule="self.type != 'kubernetes.io/dockerconfigjson' || (has(self.data) && '.dockerconfigjson' in self.data)",message="a Secret of type kubernetes.io/dockerconfigjson needs data with the key .dockerconfigjson",fieldPath=".data"
type SecretTemplate struct {
	// type of the Secret: Opaque, kubernetes.io/basic-auth or
	// kubernetes.io/dockerconfigjson. Immutable. Default: Opaque.
	// +optional
	// +kubebuilder:default=Opaque
	Type SecretType `json:"type,omitempty"`

	// labels of the Secret, at most 16. Keys in the domains kubernetes.io, k8s.io,
	// x-k8s.io and pipes.workos.com are reserved. A key of another controller, for
	// example of argoproj.io, makes the PipesToken InvalidTemplate, unless the
	// operator's --allowed-secret-metadata has its domain. Default: none.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.indexOf('/') <= 253 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="keys of labels must be up to 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends, and optionally a DNS name and '/' before them"
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.matches('^([^/]*[.])?(kubernetes[.]io|k8s[.]io|x-k8s[.]io|pipes[.]workos[.]com)/'))",message="keys of labels in the domains kubernetes.io, k8s.io, x-k8s.io and pipes.workos.com are reserved: use another domain"
	// +kubebuilder:validation:XValidation:rule="self.all(k, self[k].matches('^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$'))",message="values of labels must be letters, digits, '-', '_' and '.', with a letter or digit at both ends"
	Labels map[string]LabelValue `json:"labels,omitempty"`

	// annotations of the Secret, at most 16, with the same rules for keys as
	// labels. Values are literal: they cannot contain the token. Default: none.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.indexOf('/') <= 253 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="keys of annotations must be up to 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends, and optionally a DNS name and '/' before them"
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.matches('^([^/]*[.])?(kubernetes[.]io|k8s[.]io|x-k8s[.]io|pipes[.]workos[.]com)/'))",message="keys of annotations in the domains kubernetes.io, k8s.io, x-k8s.io and pipes.workos.com are reserved: use another domain"
	Annotations map[string]AnnotationValue `json:"annotations,omitempty"`

	// data replaces the default keys of the Secret: at most 16 keys, each with a
	// Go text/template of at most 8192 characters. Templates use .AccessToken (or
	// .APIKey with authMethod APIKey), .ExpiresAt, .Scopes, .Slug, .UserID,
	// .OrganizationID, .Metadata and .Config (maps that WorkOS returns unless
	// authMethod is OAuth), and the functions b64enc, toJson, quote, join,
	// urlquery and index. range, define, template and block are not allowed.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.size() <= 253 && k.matches('^[-._a-zA-Z0-9]+$') && k != '.' && !k.startsWith('..'))",message="keys of data must be up to 253 letters, digits, '-', '_' and '.', and not be '.' or begin with '..'"
	Data map[string]DataTemplate `json:"data,omitempty"`
}

// LabelValue is the value of a label, at most 63 characters.
// +kubebuilder:validation:MaxLength=63
type LabelValue string

// AnnotationValue is the value of an annotation, at most 4096 characters.
// +kubebuilder:validation:MaxLength=4096
type AnnotationValue string

// DataTemplate is a Go text/template of 1 to 8192 characters.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=8192
type DataTemplate string

// PipesTokenStatus describes the token in the Secret. It never contains the
// token.
// +kubebuilder:validation:MinProperties=1
type PipesTokenStatus struct {
	// conditions of the PipesToken: Ready always; Connected, ScopesGranted,
	// RenewalFailed, Stalled and Reconciling while they apply.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the metadata.generation that this status describes.
	// +optional
	// +kubebuilder:validation:Minimum=1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// expirationTime is when the token in the Secret expires. Absent if the Secret
	// holds no token, or a token without a known expiry.
	// +optional
	ExpirationTime *metav1.Time `json:"expirationTime,omitempty"`

	// renewalTime is when the operator first asks for the next token. Retries do
	// not change it. Absent if expirationTime is absent.
	// +optional
	RenewalTime *metav1.Time `json:"renewalTime,omitempty"`

	// lastRefreshTime is when WorkOS first returned the token in the Secret.
	// +optional
	LastRefreshTime *metav1.Time `json:"lastRefreshTime,omitempty"`

	// scopes of the token in the Secret, as WorkOS reports them, at most 256.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=512
	Scopes []string `json:"scopes,omitempty"`

	// missingScopes are the scopes that the integration asks for and the user has
	// not granted, at most 256.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=512
	MissingScopes []string `json:"missingScopes,omitempty"`

	// lastHandledRefreshRequest is the last value of the annotation
	// pipes.workos.com/refresh-requested-at that WorkOS has answered. If the
	// answer contained a token, that token is in the Secret.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	LastHandledRefreshRequest string `json:"lastHandledRefreshRequest,omitempty"`

	// environmentRef names the PipesEnvironment that the operator uses, also if
	// spec.environmentRef is absent. Absent if there is none.
	// +optional
	EnvironmentRef *EnvironmentReference `json:"environmentRef,omitempty"`

	// binding names the Secret, once it exists. It makes a PipesToken a
	// Provisioned Service of servicebinding.io.
	// +optional
	Binding *SecretReference `json:"binding,omitempty"`
}

// SecretReference names a Secret in the same namespace.
type SecretReference struct {
	// name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}

// PipesToken keeps a valid access token of one user's connection at WorkOS
// Pipes in one Secret.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=pipestokens,scope=Namespaced,shortName=ptok,categories=pipes
// +kubebuilder:metadata:labels="servicebinding.io/provisioned-service=true"
// +kubebuilder:selectablefield:JSONPath=`.spec.slug`
// +kubebuilder:selectablefield:JSONPath=`.spec.userID`
// +kubebuilder:selectablefield:JSONPath=`.spec.organizationID`
// +kubebuilder:selectablefield:JSONPath=`.spec.connectionOwner`
// +kubebuilder:printcolumn:name="Slug",type=string,JSONPath=`.spec.slug`,description="The integration at WorkOS"
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="Whether the Secret holds a usable token"
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,description="The reason of the condition Ready"
// +kubebuilder:printcolumn:name="Expires",type=string,JSONPath=`.status.expirationTime`,description="When the token in the Secret expires"
// +kubebuilder:printcolumn:name="User",type=string,priority=1,JSONPath=`.spec.userID`,description="The user at WorkOS"
// +kubebuilder:printcolumn:name="Organization",type=string,priority=1,JSONPath=`.spec.organizationID`,description="The organization at WorkOS"
// +kubebuilder:printcolumn:name="Owner",type=string,priority=1,JSONPath=`.spec.connectionOwner`,description="Whose connection it is: the user's or the organization's"
// +kubebuilder:printcolumn:name="Secret",type=string,priority=1,JSONPath=`.status.binding.name`,description="The Secret with the token"
// +kubebuilder:printcolumn:name="Renewal",type=string,priority=1,JSONPath=`.status.renewalTime`,description="When the operator first asks for the next token"
// +kubebuilder:printcolumn:name="Failing",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="RenewalFailed")].reason`,description="The reason of the condition RenewalFailed"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type PipesToken struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// spec says which token the operator keeps, and in which Secret.
	// +required
	Spec PipesTokenSpec `json:"spec,omitzero"`

	// status describes the token in the Secret. It never contains the token.
	// +optional
	// +kubebuilder:default={conditions: {{type: "Ready", status: "Unknown", reason: "Pending", message: "Waiting for the operator", lastTransitionTime: "1970-01-01T00:00:00Z"}}}
	Status PipesTokenStatus `json:"status,omitempty,omitzero"`
}

// PipesTokenList is a list of PipesTokens.
//
// +kubebuilder:object:root=true
type PipesTokenList struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard list's metadata.
	// +optional
	metav1.ListMeta `json:"metadata,omitempty,omitzero"`
	// items are the PipesTokens.
	Items []PipesToken `json:"items"`
}

// TargetSecretName returns the name of the Secret that holds the token.
func (t *PipesToken) TargetSecretName() string {
	if t.Spec.SecretName != "" {
		return t.Spec.SecretName
	}
	return t.Name
}
