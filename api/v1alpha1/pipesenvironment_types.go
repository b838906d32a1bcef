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

// PipesEnvironmentSpec is an API key of WorkOS, and who may use it.
type PipesEnvironmentSpec struct {
	// apiKeySecretRef names the Secret with the WorkOS API key. The Secret must be
	// in the namespace of the PipesEnvironment.
	// +required
	APIKeySecretRef SecretKeyReference `json:"apiKeySecretRef,omitzero"`

	// baseURL of the WorkOS API: an http or https URL of at most 512 characters,
	// without user, query and fragment. The operator's --allowed-upstream-hosts
	// must contain the host. http also needs --allow-insecure-upstream. Default:
	// https://api.workos.com.
	// +optional
	// +kubebuilder:default="https://api.workos.com"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^[!-~]+$') && isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname() != '' && !self.contains('@') && !self.contains('?') && !self.contains('#')",message="baseURL must be a URL such as https://api.workos.com: http or https, with a host, without user, query, fragment and spaces"
	BaseURL string `json:"baseURL,omitempty"`

	// requestsPerMinute is how many calls a minute the operator may make with this
	// API key, 1 to 60000. WorkOS allows 6000 for a key, together with all other
	// clients of the key. PipesEnvironments that share a key use the smallest of
	// their values. Default: 3000.
	// +optional
	// +kubebuilder:default=3000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=60000
	RequestsPerMinute int32 `json:"requestsPerMinute,omitempty"`

	// grants allow PipesTokens of other namespaces to use the PipesEnvironment, at
	// most 64. A PipesToken of another namespace needs one grant that fits.
	// PipesTokens of the same namespace need none. Default: none.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Grants []Grant `json:"grants,omitempty"`

	// events says how the operator follows the events of WorkOS. An event makes
	// the operator ask WorkOS at once when a user connects or disconnects, and
	// not only at the next renewal. Default: {pollInterval: 15s}.
	// +optional
	// +kubebuilder:default={pollInterval: "15s"}
	Events *Events `json:"events,omitempty"`
}

// Events says how the operator follows the events of WorkOS.
// +kubebuilder:validation:MinProperties=1
type Events struct {
	// pollInterval is the time between two requests for new events: a duration of
	// 5s to 10m, for example 15s. With a small requestsPerMinute the time is
	// longer, so that these requests take at most a quarter of it. Default: 15s.
	// +optional
	// +kubebuilder:default="15s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}([.][0-9]{1,9})?(ms|s|m|h))+$') && duration(self) >= duration('5s') && duration(self) <= duration('10m')",message="pollInterval must be a duration between 5s and 10m, such as 15s or 1m30s"
	PollInterval *metav1.Duration `json:"pollInterval,omitempty"`

	// disabled turns the requests for events off. Default: false.
	// +optional
	Disabled bool `json:"disabled,omitempty"`
}

// SecretKeyReference names one key of a Secret in the same namespace.
type SecretKeyReference struct {
	// name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$')",message="name must be a DNS name: lowercase letters, digits, '-' and '.', and a letter or digit at both ends of each part"
	Name string `json:"name,omitempty"`

	// key in the data of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-._a-zA-Z0-9]*$') && self != '.' && !self.startsWith('..')",message="key must be letters, digits, '-', '_' and '.', and not be '.' or begin with '..'"
	Key string `json:"key,omitempty"`
}

// The lists of a Grant are required by rules and not by the schema, because the message of a rule
// says what to write. The message of the schema is "Required value" alone.

// Grant allows PipesTokens of some namespaces to use a PipesEnvironment. A
// grant fits if its namespaces, slugs, organizations, users and
// connectionOwners all fit. slugs, and one of the two forms for organizations
// and for users, are required: a grant with an absent, null or empty list is
// refused, and fits no PipesToken.
// +kubebuilder:validation:XValidation:rule="has(self.slugs) && self.slugs.size() > 0",reason=FieldValueRequired,fieldPath=".slugs",message="slugs is required: list slugs, or write [\"*\"] for any"
// +kubebuilder:validation:XValidation:rule="has(self.organizationIDsFrom) || has(self.organizationIDs) && self.organizationIDs.size() > 0",reason=FieldValueRequired,fieldPath=".organizationIDs",message="organizationIDs is required: list IDs, \"none\" for PipesTokens without an organization, or write [\"*\"] for any; or use organizationIDsFrom"
// +kubebuilder:validation:XValidation:rule="!has(self.organizationIDsFrom) || !has(self.organizationIDs)",reason=FieldValueForbidden,fieldPath=".organizationIDsFrom",message="organizationIDs and organizationIDsFrom exclude each other: remove one of them"
// +kubebuilder:validation:XValidation:rule="has(self.userIDsFrom) || has(self.userIDs) && self.userIDs.size() > 0",reason=FieldValueRequired,fieldPath=".userIDs",message="userIDs is required: list IDs, or write [\"*\"] for any; or use userIDsFrom"
// +kubebuilder:validation:XValidation:rule="!has(self.userIDsFrom) || !has(self.userIDs)",reason=FieldValueForbidden,fieldPath=".userIDsFrom",message="userIDs and userIDsFrom exclude each other: remove one of them"
type Grant struct {
	// namespaces whose PipesTokens may use the PipesEnvironment.
	// +required
	Namespaces GrantNamespaces `json:"namespaces,omitzero"`

	// slugs that a PipesToken may name, 1 to 128. ["*"] means any slug. Required.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=128
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^([*]|[A-Za-z0-9][A-Za-z0-9_-]*)?$')",message="slugs must be letters, digits, '-' and '_', and begin with a letter or digit, or be '*' for any"
	// +kubebuilder:validation:XValidation:rule="!('*' in self) || self.size() == 1",message="'*' stands for any slug and must be alone in slugs"
	Slugs []string `json:"slugs,omitempty"`

	// organizationIDs that a PipesToken may name, 1 to 1024. "none" means
	// PipesTokens without an organizationID. ["*"] means any organization and
	// none. Required, unless organizationIDsFrom is set.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1024
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	// +kubebuilder:validation:items:XValidation:rule="self == '*' || !self.matches(r'[^\\w-]')",message="organizationIDs must be letters, digits, '-' and '_', or be '*' for any"
	// +kubebuilder:validation:XValidation:rule="!('*' in self) || self.size() == 1",message="'*' stands for any organization and none, and must be alone in organizationIDs"
	OrganizationIDs []string `json:"organizationIDs,omitempty"`

	// organizationIDsFrom takes the organizationID from a label of the namespace
	// of the PipesToken. It stands in place of organizationIDs. It fits no
	// PipesToken without an organizationID.
	// +optional
	OrganizationIDsFrom *NamespaceLabelSource `json:"organizationIDsFrom,omitempty"`

	// userIDs that a PipesToken may name, 1 to 1024. ["*"] means any user.
	// Required, unless userIDsFrom is set.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1024
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	// +kubebuilder:validation:items:XValidation:rule="self == '*' || !self.matches(r'[^\\w-]')",message="userIDs must be letters, digits, '-' and '_', or be '*' for any"
	// +kubebuilder:validation:XValidation:rule="!('*' in self) || self.size() == 1",message="'*' stands for any user and must be alone in userIDs"
	UserIDs []string `json:"userIDs,omitempty"`

	// userIDsFrom takes the userID from a label of the namespace of the
	// PipesToken. It stands in place of userIDs. One grant then serves any number
	// of namespaces with one user each.
	// +optional
	UserIDsFrom *NamespaceLabelSource `json:"userIDsFrom,omitempty"`

	// connectionOwners that a PipesToken may name: User, Organization or both. A
	// grant that does not list Organization never reaches a connection that an
	// organization shares. Default: [User].
	// +optional
	// +listType=set
	// +kubebuilder:default={User}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	ConnectionOwners []ConnectionOwner `json:"connectionOwners,omitempty"`
}

// NamespaceLabelSource takes an ID from a label of a namespace. The ID of the
// PipesToken must be the value of the label, exactly. A namespace without the
// label, or with an empty value, does not fit.
type NamespaceLabelSource struct {
	// namespaceLabel is the key of the label, for example
	// pipes.example.com/user-id. Only those who may change the labels of
	// namespaces can change its value.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:XValidation:rule="self == '' || self.indexOf('/') <= 253 && self.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$')",message="namespaceLabel must be the key of a label: up to 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends, and optionally a DNS name and '/' before them"
	NamespaceLabel string `json:"namespaceLabel,omitempty"`
}

// GrantNamespaces selects namespaces by name, by label, or both. A namespace
// fits if names or selector selects it.
// +kubebuilder:validation:XValidation:rule="has(self.names) || has(self.selector)",message="namespaces needs names or selector; names: [\"*\"] stands for all"
// +kubebuilder:validation:MinProperties=1
type GrantNamespaces struct {
	// names of namespaces, 1 to 256. "*" means all namespaces.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^([*]|[a-z0-9]([-a-z0-9]*[a-z0-9])?)?$')",message="names must be names of namespaces, or '*' for all: patterns such as 'team-*' are not supported, use selector"
	Names []string `json:"names,omitempty"`

	// selector selects namespaces by their labels. It must not be empty. For all
	// namespaces, set names to ["*"].
	// +optional
	// +kubebuilder:validation:XValidation:rule="has(self.matchLabels) && self.matchLabels.size() > 0 || has(self.matchExpressions) && self.matchExpressions.size() > 0",message="selector must not be empty; names: [\"*\"] stands for all namespaces"
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
}

// PipesEnvironmentStatus describes the PipesEnvironment. It never contains the
// API key.
// +kubebuilder:validation:MinProperties=1
type PipesEnvironmentStatus struct {
	// conditions of the PipesEnvironment: Ready and GrantsValid always;
	// EventsFollowed unless spec.events.disabled is true; Stalled,
	// UpstreamFailing, BudgetTooSmall and ClockSkewed while they apply.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the metadata.generation that this status describes.
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
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,description="The reason of the condition Ready"
// +kubebuilder:printcolumn:name="Grants",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="GrantsValid")].status`,description="Whether every grant can be used as written"
// +kubebuilder:printcolumn:name="Events",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="EventsFollowed")].status`,description="Whether the operator receives the events of WorkOS"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type PipesEnvironment struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// spec is an API key of WorkOS, and who may use it.
	// +required
	Spec PipesEnvironmentSpec `json:"spec,omitzero"`

	// status describes the PipesEnvironment. It never contains the API key.
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
