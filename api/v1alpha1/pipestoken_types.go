package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What the comments of types and fields say is at most 76 characters wide:
// kubectl explain keeps their lines, and breaks those that are longer.

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

// InactivePolicy says what becomes of the Secret once WorkOS says that the
// connection is not active, or once the grant is gone.
// +kubebuilder:validation:Enum=Clear;Delete;Retain
type InactivePolicy string

const (
	// InactivePolicyClear removes the token from the Secret and keeps the Secret. The files vanish from running pods.
	InactivePolicyClear InactivePolicy = "Clear"
	// InactivePolicyDelete deletes the Secret. Running pods keep the files that they have.
	InactivePolicyDelete InactivePolicy = "Delete"
	// InactivePolicyRetain leaves the Secret as it is.
	InactivePolicyRetain InactivePolicy = "Retain"
)

// PipesTokenSpec says whose token to keep in which Secret.
// +kubebuilder:validation:XValidation:rule="has(self.organizationID) == has(oldSelf.organizationID)",message="organizationID cannot be added or removed: create another PipesToken",fieldPath=".organizationID"
// +kubebuilder:validation:XValidation:rule="has(self.environmentRef) == has(oldSelf.environmentRef)",message="environmentRef cannot be added or removed: create another PipesToken",fieldPath=".environmentRef"
// +kubebuilder:validation:XValidation:rule="has(self.secretName) == has(oldSelf.secretName)",message="secretName cannot be added or removed: create another PipesToken",fieldPath=".secretName"
// +kubebuilder:validation:XValidation:rule="(has(self.secretTemplate) ? self.secretTemplate.type : 'Opaque') == (has(oldSelf.secretTemplate) ? oldSelf.secretTemplate.type : 'Opaque')",message="secretTemplate.type is immutable: create another PipesToken",fieldPath=".secretTemplate.type"
type PipesTokenSpec struct {
	// slug names the integration at WorkOS, as in its dashboard: github, slack,
	// google-drive ... It consists of letters, digits, '-' and '_', begins with a
	// letter or digit, and is at most 128 characters long. Immutable.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^([A-Za-z0-9][A-Za-z0-9_-]*)?$')",message="slug must be letters, digits, '-' and '_', and begin with a letter or digit, for example google-drive"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="slug is immutable: create another PipesToken"
	Slug string `json:"slug,omitempty"`

	// userID is the WorkOS ID of the user whose connection to use, for example
	// user_01EHZNVPK3SFK441A1RGBFSHRT. It consists of letters, digits, '-' and '_'
	// and is at most 128 characters long. Immutable.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_-]*$')",message="userID must be letters, digits, '-' and '_', for example user_01EHZNVPK3SFK441A1RGBFSHRT"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="userID is immutable: create another PipesToken"
	UserID string `json:"userID,omitempty"`

	// organizationID is the WorkOS ID of the organization that the connection
	// belongs to, for example org_01EHZNVPK3SFK441A1RGBFSHRT. Leave it out for a
	// connection that belongs to no organization. It consists of letters, digits,
	// '-' and '_' and is at most 128 characters long, and is not "none", which
	// stands for no organization in grants. Immutable; it cannot be added later
	// either.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_-]*$')",message="organizationID must be letters, digits, '-' and '_', for example org_01EHZNVPK3SFK441A1RGBFSHRT"
	// +kubebuilder:validation:XValidation:rule="self != 'none'",message="organizationID must not be 'none': leave it out for a connection without an organization"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="organizationID is immutable: create another PipesToken"
	OrganizationID string `json:"organizationID,omitempty"`

	// environmentRef names the PipesEnvironment whose API key to use. Default: the
	// one that the operator was started with as --default-environment. Immutable.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="environmentRef is immutable: create another PipesToken"
	EnvironmentRef *EnvironmentReference `json:"environmentRef,omitempty"`

	// secretName is the name of the Secret to write, in the namespace of the
	// PipesToken. Default: the PipesToken's own name. A Secret of that name that
	// the PipesToken does not control is never touched. Immutable.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$')",message="secretName must be a DNS name: lowercase letters, digits, '-' and '.', and a letter or digit at both ends of each part"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="secretName is immutable: create another PipesToken"
	SecretName string `json:"secretName,omitempty"`

	// secretTemplate shapes the Secret. Default: an Opaque Secret with the keys
	// access_token, expires_at (RFC 3339 in UTC; absent when the token has no
	// known expiry) and scopes (separated by spaces). At most 64 KiB in all.
	// +optional
	SecretTemplate *SecretTemplate `json:"secretTemplate,omitempty"`

	// renewBefore is how long before its expiry a token is renewed, as a duration
	// such as 10m; 10s to 24h, and never more than half of the token's lifetime.
	// Default: a fifth of the lifetime, at least 2m and at most 30m.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}([.][0-9]{1,9})?(ms|s|m|h))+$') && duration(self) >= duration('10s') && duration(self) <= duration('24h')",message="renewBefore must be a duration between 10s and 24h, such as 90s, 10m or 1h30m"
	RenewBefore *metav1.Duration `json:"renewBefore,omitempty"`

	// refreshInterval is how often a token without a known expiry is fetched
	// again, to notice revocation, rotation and changed scopes, as a duration such
	// as 30m; 1m to 24h. Tokens with an expiry do not use it. Default: 1h.
	// +optional
	// +kubebuilder:default="1h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}([.][0-9]{1,9})?(ms|s|m|h))+$') && duration(self) >= duration('1m') && duration(self) <= duration('24h')",message="refreshInterval must be a duration between 1m and 24h, such as 5m, 1h or 1h30m"
	RefreshInterval *metav1.Duration `json:"refreshInterval,omitempty"`

	// inactivePolicy says what becomes of the Secret once WorkOS says that the
	// connection is not active, or once the grant is gone. Clear removes the token
	// and keeps the Secret, so that the files vanish from running pods; Delete
	// deletes the Secret, and running pods keep the files that they have; Retain
	// leaves the Secret as it is. Default: Clear.
	// +optional
	// +kubebuilder:default=Clear
	InactivePolicy InactivePolicy `json:"inactivePolicy,omitempty"`

	// suspend stops all calls to WorkOS for this object while true; the Secret
	// stays as it is. A grant that is withdrawn still takes the token away.
	// Default: false.
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

// SecretTemplate shapes the Secret that a PipesToken writes. It is at most 64
// KiB: all keys and values of data, labels and annotations together.
// +kubebuilder:validation:XValidation:rule="(has(self.data) ? self.data.map(k, k.size() + bytes(self.data[k]).size()).sum() : 0) + (has(self.labels) ? self.labels.map(k, k.size() + bytes(self.labels[k]).size()).sum() : 0) + (has(self.annotations) ? self.annotations.map(k, k.size() + bytes(self.annotations[k]).size()).sum() : 0) <= 65536",message="secretTemplate must be at most 65536 bytes: the keys and values of data, labels and annotations together"
// +kubebuilder:validation:XValidation:rule="self.type != 'kubernetes.io/basic-auth' || (has(self.data) && ('username' in self.data || 'password' in self.data))",message="a Secret of type kubernetes.io/basic-auth needs data with the key username or password",fieldPath=".data"
// +kubebuilder:validation:XValidation:rule="self.type != 'kubernetes.io/dockerconfigjson' || (has(self.data) && '.dockerconfigjson' in self.data)",message="a Secret of type kubernetes.io/dockerconfigjson needs data with the key .dockerconfigjson",fieldPath=".data"
type SecretTemplate struct {
	// type of the Secret: Opaque, kubernetes.io/basic-auth or
	// kubernetes.io/dockerconfigjson. Immutable. Default: Opaque.
	// +optional
	// +kubebuilder:default=Opaque
	Type SecretType `json:"type,omitempty"`

	// labels to put on the Secret, at most 16. Keys in the domains kubernetes.io,
	// k8s.io, x-k8s.io and pipes.workos.com are refused. Keys that other
	// controllers act on, such as those of argoproj.io, are InvalidTemplate unless
	// the operator was started with --allowed-secret-metadata.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.indexOf('/') <= 253 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="keys of labels must be up to 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends, after a DNS name and '/' if need be"
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.matches('^([^/]*[.])?(kubernetes[.]io|k8s[.]io|x-k8s[.]io|pipes[.]workos[.]com)/'))",message="keys of labels in the domains kubernetes.io, k8s.io, x-k8s.io and pipes.workos.com are reserved: use another"
	// +kubebuilder:validation:XValidation:rule="self.all(k, self[k].matches('^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$'))",message="values of labels must be letters, digits, '-', '_' and '.', with a letter or digit at both ends"
	Labels map[string]LabelValue `json:"labels,omitempty"`

	// annotations to put on the Secret, at most 16. Keys are refused as those of
	// labels are. Values are literal: a token never goes into an annotation.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.indexOf('/') <= 253 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="keys of annotations must be up to 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends, after a DNS name and '/' if need be"
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.matches('^([^/]*[.])?(kubernetes[.]io|k8s[.]io|x-k8s[.]io|pipes[.]workos[.]com)/'))",message="keys of annotations in the domains kubernetes.io, k8s.io, x-k8s.io and pipes.workos.com are reserved: use another"
	Annotations map[string]AnnotationValue `json:"annotations,omitempty"`

	// data replaces the default keys of the Secret: each key is a key of the
	// Secret, each value a Go text/template over .AccessToken, .ExpiresAt,
	// .Scopes, .Slug, .UserID and .OrganizationID with the functions b64enc,
	// toJson, quote, join and urlquery. range, define, template and block are
	// refused. At most 16 keys, and 8192 characters each.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.size() <= 253 && k.matches('^[-._a-zA-Z0-9]+$') && k != '.' && !k.startsWith('..'))",message="keys of data must be up to 253 letters, digits, '-', '_' and '.', and not be '.' or begin with '..'"
	Data map[string]DataTemplate `json:"data,omitempty"`
}

// LabelValue is the value of a label: at most 63 characters.
// +kubebuilder:validation:MaxLength=63
type LabelValue string

// AnnotationValue is the value of an annotation: at most 4096 characters.
// +kubebuilder:validation:MaxLength=4096
type AnnotationValue string

// DataTemplate is a Go text/template of at most 8192 characters.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=8192
type DataTemplate string

// PipesTokenStatus is what the operator knows of the token. It never holds the
// token.
// +kubebuilder:validation:MinProperties=1
type PipesTokenStatus struct {
	// conditions of the token: Ready always, and Connected, ScopesGranted,
	// RenewalFailed, Stalled and Reconciling where they apply.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the metadata.generation that this status speaks of.
	// +optional
	// +kubebuilder:validation:Minimum=1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// expirationTime is when the token in the Secret expires. Absent when the
	// Secret holds no token, or one without a known expiry.
	// +optional
	ExpirationTime *metav1.Time `json:"expirationTime,omitempty"`

	// renewalTime is when the operator first asks for the next token; further
	// tries do not move it. Absent when expirationTime is.
	// +optional
	RenewalTime *metav1.Time `json:"renewalTime,omitempty"`

	// lastRefreshTime is when the token now in the Secret was first obtained.
	// +optional
	LastRefreshTime *metav1.Time `json:"lastRefreshTime,omitempty"`

	// scopes of the token, as WorkOS reports them.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=512
	Scopes []string `json:"scopes,omitempty"`

	// missingScopes are the scopes that the integration asks for and the user has
	// not granted.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=512
	MissingScopes []string `json:"missingScopes,omitempty"`

	// lastHandledRefreshRequest echoes the annotation
	// pipes.workos.com/refresh-requested-at once WorkOS has answered the fetch
	// that it asked for, and a token that came with the answer is in the Secret.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	LastHandledRefreshRequest string `json:"lastHandledRefreshRequest,omitempty"`

	// binding names the Secret, which makes a PipesToken a Provisioned Service of
	// servicebinding.io.
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

// PipesToken keeps one Secret filled with a valid access token of one user's
// connection at WorkOS Pipes.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=pipestokens,scope=Namespaced,shortName=ptok,categories=pipes
// +kubebuilder:metadata:labels="servicebinding.io/provisioned-service=true"
// +kubebuilder:selectablefield:JSONPath=`.spec.slug`
// +kubebuilder:selectablefield:JSONPath=`.spec.userID`
// +kubebuilder:selectablefield:JSONPath=`.spec.organizationID`
// +kubebuilder:printcolumn:name="Slug",type=string,JSONPath=`.spec.slug`,description="The integration at WorkOS"
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="Whether the Secret holds a usable token"
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,description="Why"
// +kubebuilder:printcolumn:name="Expires",type=string,JSONPath=`.status.expirationTime`,description="When the token in the Secret expires"
// +kubebuilder:printcolumn:name="User",type=string,priority=1,JSONPath=`.spec.userID`,description="The user at WorkOS"
// +kubebuilder:printcolumn:name="Organization",type=string,priority=1,JSONPath=`.spec.organizationID`,description="The organization at WorkOS"
// +kubebuilder:printcolumn:name="Secret",type=string,priority=1,JSONPath=`.status.binding.name`,description="The Secret with the token"
// +kubebuilder:printcolumn:name="Renewal",type=string,priority=1,JSONPath=`.status.renewalTime`,description="When the next token is asked for"
// +kubebuilder:printcolumn:name="Failing",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="RenewalFailed")].reason`,description="Why renewal fails while the token is still valid"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type PipesToken struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// spec says whose token to keep in which Secret.
	// +required
	Spec PipesTokenSpec `json:"spec,omitzero"`

	// status is what the operator knows of the token.
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

// TargetSecretName is the name of the Secret that the object writes.
func (t *PipesToken) TargetSecretName() string {
	if t.Spec.SecretName != "" {
		return t.Spec.SecretName
	}
	return t.Name
}
