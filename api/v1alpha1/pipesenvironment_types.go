package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// AllNamespaces among a grant's namespace names stands for every namespace.
	AllNamespaces = "*"
	// Any as the only item of a grant's slugs, organizationIDs or userIDs stands for any value. As
	// the only item of organizationIDs it also stands for no organization.
	Any = "*"
	// NoOrganization among a grant's organizationIDs stands for a PipesToken without
	// organizationID. The CRD refuses it as the organizationID of a PipesToken, so that the word
	// has one meaning.
	NoOrganization = "none"
)

// PipesEnvironmentSpec is one WorkOS environment: an API key, and who may use
// it.
type PipesEnvironmentSpec struct {
	// apiKeySecretRef names the Secret with the WorkOS API key. The Secret is
	// always in the PipesEnvironment's own namespace.
	// +required
	APIKeySecretRef SecretKeyReference `json:"apiKeySecretRef,omitzero"`

	// baseURL of the WorkOS API. It is http or https, has no user, query or
	// fragment, and its host must be one that the operator was started with as
	// --allowed-upstream-hosts; http needs --allow-insecure-upstream as well.
	// Default: https://api.workos.com.
	// +optional
	// +kubebuilder:default="https://api.workos.com"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^[!-~]+$') && isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname() != '' && !self.contains('@') && !self.contains('?') && !self.contains('#')",message="baseURL must be a URL such as https://api.workos.com: http or https, with a host, without user, query, fragment and spaces"
	BaseURL string `json:"baseURL,omitempty"`

	// requestsPerMinute is how often the operator may call WorkOS with this API
	// key, 1 to 60000. WorkOS allows a key 6000, shared with everything else that
	// uses the key. Environments that share a key get the smallest of their
	// values. Default: 3000.
	// +optional
	// +kubebuilder:default=3000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=60000
	RequestsPerMinute int32 `json:"requestsPerMinute,omitempty"`

	// grants say who else may use the environment, at most 64. PipesTokens in the
	// environment's own namespace always may; everybody else needs at least one
	// grant that fits.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Grants []Grant `json:"grants,omitempty"`
}

// SecretKeyReference names one entry of a Secret in the same namespace.
type SecretKeyReference struct {
	// name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$')",message="name must be a DNS name: lowercase letters, digits, '-' and '.', and a letter or digit at both ends of each part"
	Name string `json:"name,omitempty"`

	// key of the entry in the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-._a-zA-Z0-9]*$') && self != '.' && !self.startsWith('..')",message="key must be letters, digits, '-', '_' and '.', and not be '.' or begin with '..'"
	Key string `json:"key,omitempty"`
}

// The lists of a Grant are required by rules and not by the schema, because the message of a rule
// says what to write. The message of the schema is "Required value" alone.

// Grant allows PipesTokens of some namespaces to use a PipesEnvironment. Each
// part must fit: the namespace, the slug, the organization and the user. Each
// list must be given; a list that is absent, null or empty is refused and fits
// nobody.
// +kubebuilder:validation:XValidation:rule="has(self.slugs) && self.slugs.size() > 0",reason=FieldValueRequired,fieldPath=".slugs",message="slugs is required: list slugs, or write [\"*\"] for any"
// +kubebuilder:validation:XValidation:rule="has(self.organizationIDs) && self.organizationIDs.size() > 0",reason=FieldValueRequired,fieldPath=".organizationIDs",message="organizationIDs is required: list IDs, \"none\" for PipesTokens without an organization, or write [\"*\"] for any"
// +kubebuilder:validation:XValidation:rule="has(self.userIDs) && self.userIDs.size() > 0",reason=FieldValueRequired,fieldPath=".userIDs",message="userIDs is required: list IDs, or write [\"*\"] for any"
type Grant struct {
	// namespaces whose PipesTokens may use the environment.
	// +required
	Namespaces GrantNamespaces `json:"namespaces,omitzero"`

	// slugs that may be asked for; ["*"] stands for any. Required.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=128
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^([*]|[A-Za-z0-9][A-Za-z0-9_-]*)?$')",message="slugs must be letters, digits, '-' and '_', and begin with a letter or digit, or be '*' for any"
	// +kubebuilder:validation:XValidation:rule="!('*' in self) || self.size() == 1",message="'*' stands for any slug and must be alone in slugs"
	Slugs []string `json:"slugs,omitempty"`

	// organizationIDs that may be asked for; "none" stands for PipesTokens that
	// name no organization, and ["*"] for any organization and none. Required.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1024
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	// +kubebuilder:validation:items:XValidation:rule="self == '*' || !self.matches(r'[^\\w-]')",message="organizationIDs must be letters, digits, '-' and '_', or be '*' for any"
	// +kubebuilder:validation:XValidation:rule="!('*' in self) || self.size() == 1",message="'*' stands for any organization and none, and must be alone in organizationIDs"
	OrganizationIDs []string `json:"organizationIDs,omitempty"`

	// userIDs that may be asked for; ["*"] stands for any. Required.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1024
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	// +kubebuilder:validation:items:XValidation:rule="self == '*' || !self.matches(r'[^\\w-]')",message="userIDs must be letters, digits, '-' and '_', or be '*' for any"
	// +kubebuilder:validation:XValidation:rule="!('*' in self) || self.size() == 1",message="'*' stands for any user and must be alone in userIDs"
	UserIDs []string `json:"userIDs,omitempty"`
}

// GrantNamespaces selects namespaces by name, by label, or both; a namespace
// that either selects fits.
// +kubebuilder:validation:XValidation:rule="has(self.names) || has(self.selector)",message="namespaces needs names or selector; names: [\"*\"] stands for all"
// +kubebuilder:validation:MinProperties=1
type GrantNamespaces struct {
	// names of namespaces; "*" stands for all.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^([*]|[a-z0-9]([-a-z0-9]*[a-z0-9])?)?$')",message="names must be those of namespaces, or '*' for all: patterns such as 'team-*' are not supported, use selector"
	Names []string `json:"names,omitempty"`

	// selector selects namespaces by their labels. It must not be empty: for all
	// namespaces there is names: ["*"].
	// +optional
	// +kubebuilder:validation:XValidation:rule="has(self.matchLabels) && self.matchLabels.size() > 0 || has(self.matchExpressions) && self.matchExpressions.size() > 0",message="selector must not be empty; names: [\"*\"] stands for all namespaces"
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
}

// PipesEnvironmentStatus is what the operator knows of the environment. It
// never holds the API key.
// +kubebuilder:validation:MinProperties=1
type PipesEnvironmentStatus struct {
	// conditions of the environment: Ready and GrantsValid always, and Stalled,
	// UpstreamFailing, BudgetTooSmall and ClockSkewed where they apply.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the metadata.generation that this status speaks of.
	// +optional
	// +kubebuilder:validation:Minimum=1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
}

// PipesEnvironment is one WorkOS environment: an API key, and who may use it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=pipesenvironments,scope=Namespaced,shortName=penv,categories=pipes
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.spec.baseURL`,description="The base URL of the WorkOS API"
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="Whether the API key can be used"
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,description="Why"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type PipesEnvironment struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// spec is the API key and who may use it.
	// +required
	Spec PipesEnvironmentSpec `json:"spec,omitzero"`

	// status is what the operator knows of the environment.
	// +optional
	// +kubebuilder:default={conditions: {{type: "Ready", status: "Unknown", reason: "Pending", message: "Waiting for the operator", lastTransitionTime: "1970-01-01T00:00:00Z"}}}
	Status PipesEnvironmentStatus `json:"status,omitempty,omitzero"`
}

// PipesEnvironmentList is a list of PipesEnvironments.
//
// +kubebuilder:object:root=true
type PipesEnvironmentList struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard list's metadata.
	// +optional
	metav1.ListMeta `json:"metadata,omitempty,omitzero"`
	// items are the PipesEnvironments.
	Items []PipesEnvironment `json:"items"`
}
