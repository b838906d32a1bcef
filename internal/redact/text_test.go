package redact_test

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/pipes-operator/pipes-operator/internal/redact"
)

func TestTextStrikesCredentials(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"refresh token of GitHub":   {"invalid_grant: refresh token ghr_1B4a2e77838347a7E420ce178F2E7c6912E169246c34E1 is revoked", "invalid_grant: refresh token [redacted] is revoked"},
		"short token of GitHub":     {"the token gho_a1B2c3 is revoked", "the token [redacted] is revoked"},
		"fine-grained, GitHub":      {"github_pat_11ABCDE0_abc is revoked", "[redacted] is revoked"},
		"GitLab":                    {"bad glpat-abcdefgh", "bad [redacted]"},
		"Slack":                     {"xoxb-not-a-real-one and xoxp-12345678", "[redacted] and [redacted]"},
		"Slack, rotated":            {"xoxe.xoxp-1-abcdefgh", "[redacted]"},
		"Google":                    {"ya29.a0AfH6SM and 1//0gAbCdEf", "[redacted] and [redacted]"},
		"WorkOS and Stripe":         {"no such key: sk_test_abc", "no such key: [redacted]"},
		"AWS":                       {"AKIAIOSFODNN7EXAMPLE", "[redacted]"},
		"JSON Web Token":            {"got eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0., which is expired", "got [redacted], which is expired"},
		"Bearer":                    {"Authorization: Bearer hunter2", "Authorization: Bearer [redacted]"},
		"Bearer of letters":         {"sent Bearer letmein, and failed", "sent Bearer [redacted], and failed"},
		"Bearer in a map":           {"map[Authorization:[Bearer letmein]]", "map[Authorization:[Bearer [redacted]]]"},
		"Bearer twice":              {"Bearer bearer letmein", "Bearer bearer [redacted]"},
		"Bearer on two lines":       {"Bearer\r\n letmein", "Bearer [redacted]"},
		"Basic":                     {"Authorization: Basic QTpi", "Authorization: Basic [redacted]"},
		"query":                     {"GET /callback?code=1&access_token=letmein&state=x", "GET /callback?code=1&access_token=[redacted]&state=x"},
		"key of a query":            {"GET https://example.com/v1?key=letmein", "GET https://example.com/v1?key=[redacted]"},
		"assignment":                {"CLIENT_SECRET = letmein", "CLIENT_SECRET = [redacted]"},
		"member of JSON":            {`{"refresh_token": "let me in", "user": "alice"}`, `{"refresh_token": "[redacted]", "user": "alice"}`},
		"JSON in JSON":              {`"{\"refresh_token\":\"letmein\"}"`, `"{\"refresh_token\":\"[redacted]\"}"`},
		"dictionary of Python":      {`{'password': 'let me in'}`, `{'password': '[redacted]'}`},
		"after a colon":             {"refreshToken: aB3d-9", "refreshToken: [redacted]"},
		"user of a URL":             {"Get https://alice:letmein@example.com/a", "Get https://[redacted]@example.com/a"},
		"hexadecimal":               {"no grant 0123456789abcdef0123", "no grant [redacted]"},
		"in a path":                 {"/data-integrations/github/callback/dGhpcyBpcyBh_c2VjcmV0-MTIz", "/data-integrations/github/callback/[redacted]"},
		"host that is none":         {"https://0123456789abcdef0123", "https:[redacted]"},
		"digest that is none":       {"sha256:0123456789abcdef0123", "sha256:[redacted]"},
		"split by a zero width":     {"gho_\u200ba1\u2060B2\ufe0fc3\u034f", "[redacted]"},
		"split by control codes":    {"gho_\x00a1\x1bB2\u0085c3", "gho_a1B2 c3"},
		"split by accents":          {"g\u0300h\u0301o\u0308_a1B2c3", "[redacted]"},
		"quoted by a webhook":       {`denied: {"data":{"access_token":"Z2hvX2E="}}`, `denied: {"data":{"access_token":"[redacted]"}}`},
		"short segments":            {"ab1c2d-3e4f5g-6h7i8j", "[redacted]"},
		"capitals in turns":         {"V4e6vON1P/HYUQgxIxmlkw==", "[redacted]"},
		"after the word token":      {"token letmein42x is revoked", "token [redacted] is revoked"},
		"nothing":                   {"", ""},
		"white space":               {" \r\n\t ", ""},
		"a placeholder, redacted":   {"token=[redacted] Bearer [redacted]", "token=[redacted] Bearer [redacted]"},
		"bytes that are not UTF-8":  {"a\xff\xfeb", "a\uFFFDb"},
		"lines of a list":           {"a\r\n\tb", "a b"},
		"accents of other letters":  {"é नमस्ते", "é नमस्ते"},
		"an API key of Google":      {"AIzaSyA-1234567 is restricted", "[redacted] is restricted"},
		"Basic without credentials": {"Use Basic authentication", "Use Basic authentication"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := redact.Text(test.text); got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

// API servers, WorkOS and Go write these texts. They contain no secrets, and an administrator
// needs all of them.
func TestTextKeepsPlainSentences(t *testing.T) {
	for _, text := range []string{
		`secrets "github-alice" is forbidden: exceeded quota: secrets, requested: secrets=1, used: secrets=0, limited: secrets=0`,
		`secrets "github-alice" is forbidden: exceeded quota: compute-resources, requested: count/secrets=1, used: count/secrets=10, limited: count/secrets=10`,
		`secrets is forbidden: User "system:serviceaccount:pipes-system:pipes-operator-controller-manager" cannot create resource "secrets" in API group "" in the namespace "agents"`,
		`secrets "github-alice" is forbidden: User "system:serviceaccount:pipes-system:pipes-operator" cannot patch resource "secrets" in API group "" in the namespace "agents": Azure does not have opinion for this user.`,
		`secrets "github-alice" is forbidden: unable to create new content in namespace agents because it is being terminated`,
		`Internal error occurred: failed calling webhook "validate.kyverno.svc-fail": failed to call webhook: Post "https://kyverno-svc.kyverno.svc:443/validate/fail?timeout=10s": dial tcp 10.96.12.34:443: connect: connection refused`,
		`Internal error occurred: failed calling webhook "mutate.example.com": failed to call webhook: Post "https://127.0.0.1:29999/validate?timeout=30s": context deadline exceeded`,
		`Internal error occurred: failed calling webhook "v.example.com": failed to call webhook: Post "https://policy-controller-manager.policy-system.svc:443/validate-v1-secret?timeout=10s": tls: failed to verify certificate: x509: certificate signed by unknown authority`,
		`Post "https://hooks.default.svc:443/?timeout=10s": tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2026-11-23T14:00:00Z is after 2026-11-22T14:00:00Z`,
		`admission webhook "validation.gatekeeper.sh" denied the request: [secrets-must-have-labels] you must provide labels: {"team"}`,
		`admission webhook "validate.kyverno.svc-fail" denied the request: resource Secret/agents/github-alice was blocked due to the following policies require-labels: check-team: 'validation error: label team is required. rule check-team failed at path /metadata/labels/team/'`,
		`secrets "github-alice" is forbidden: ValidatingAdmissionPolicy 'require-team-label.example.com' with binding 'require-team-label-binding.example.com' denied request: failed expression: has(object.metadata.labels) && "team" in object.metadata.labels`,
		`ValidatingAdmissionPolicyBinding and MutatingAdmissionPolicyBinding of admissionregistration.k8s.io/v1beta1 cannot be read`,
		`pods "web-7d9f8b6c5-x2x9z" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "web" must set securityContext.allowPrivilegeEscalation=false)`,
		`Secret "github-alice" is invalid: metadata.annotations: Too long: may not be more than 262144 bytes`,
		`Secret "github-alice" is invalid: data[tls.key]: Required value`,
		`Secret "github-alice" is invalid: data: Forbidden: field is immutable when ` + "`immutable`" + ` is set`,
		`Secret "github-alice" is invalid: metadata.labels: Invalid value: "a b": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue', or 'my_value', or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')`,
		`Operation cannot be fulfilled on secrets "github-alice": the object has been modified; please apply your changes to the latest version and try again`,
		`Operation cannot be fulfilled on secrets "github-alice": StorageError: invalid object, Code: 4, Key: /registry/secrets/agents/github-alice, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: 3f2c9c9e-8c0b-4f0e-9a1b-aabbccddeeff, UID in object meta:`,
		`secrets "github-alice" already exists`,
		`etcdserver: request timed out`,
		`etcdserver: mvcc: database space exceeded`,
		`etcdserver: leader changed`,
		`rpc error: code = ResourceExhausted desc = trying to send message larger than max (2097152 vs. 2097152)`,
		`rpc error: code = Unavailable desc = transport is closing`,
		`Timeout: request did not complete within requested timeout - context deadline exceeded`,
		`the server was unable to return a response in the time allotted, but may still be processing requests (post secrets)`,
		`the server has received too many requests and has asked us to try again later (patch secrets github-alice)`,
		`Request entity too large: limit is 3145728`,
		`the server is currently unable to handle the request`,
		`Too many requests: global request limit reached, please retry after 30 seconds`,
		`Unauthorized`,
		`invalid bearer token, service account token has expired`,
		`invalid bearer token, square/go-jose: error in cryptographic primitive`,
		`failed to fetch token: 401 Unauthorized`,
		`failed to fetch token: HTTP/1.1 502 Bad Gateway`,
		`oauth2: cannot fetch token: 400 Bad Request`,
		`dial tcp: lookup hooks.default.svc.cluster.local on 10.96.0.10:53: no such host`,
		`dial tcp [2001:db8:85a3:8d3:1319:8a2e:370:7348]:443: i/o timeout`,
		`Get "https://ec2-52-12-34-56.us-west-2.compute.amazonaws.com/healthz": EOF`,
		`Get "https://a1b2c3d4e5f6a7b8c9d0-1234567890.us-east-1.elb.amazonaws.com/healthz": EOF`,
		`image ghcr.io/pipes-operator/pipes-operator:v1.2.3@sha256:4f2c9c9e8c0b4f0e9a1baabbccddeeff4f2c9c9e8c0b4f0e9a1baabbccddeeff is not signed`,
		`The user user_01EHZNVPK3SFK441A1RGBFSHRT is not a member of org_01EHZWNVXHHWMFJBDP9BBE8SK1, see /user_management/users/user_01EHZNVPK3SFK441A1RGBFSHRT`,
		`Connection data_installation_01JD5W2Q8Y0ZK3M4N5P6R7S8T9 is being changed by request 9f2c1a3e-1111-4c1c-8a55-0a3e6d9b7c10`,
		`Duplicate key: user_01EHZNVPK3SFK441A1RGBFSHRT`,
		`The scopes https://www.googleapis.com/auth/gmail.readonly and read:user are missing`,
		`CertificateSigningRequestConditionTypeFailed`,
		`user_id must be a string; organization_id: required (invalid_request_parameters)`,
		`The access token is expired`,
		`The token has been revoked; risk_assessment_task_keyJsonPath and global-settings-of-laughs_everywhere are names`,
		`WWW-Authenticate: Bearer realm="https://api.workos.com", error="invalid_token"`,
		`/var/run/secrets/kubernetes.io/serviceaccount/token: no such file or directory`,
		`pipes.workos.com/v1alpha1, Kind=PipesToken, resource pipestokens.pipes.workos.com`,
	} {
		if got := redact.Text(text); got != text {
			t.Errorf("%q\nbecomes %q", text, got)
		}
	}
}

func TestTextStrikesTheSecretsThatItIsTold(t *testing.T) {
	secret := redact.NewString("plain&simple")
	for _, text := range []string{
		"plain&simple", "a plain&simple b", "pl\u200bain&sim\x00ple", "plain%26simple", base64.StdEncoding.EncodeToString([]byte("plain&simple")),
	} {
		if got := redact.Text("<"+text+">", redact.String{}, secret); strings.Trim(got, "ab <>") != "[redacted]" {
			t.Errorf("%q becomes %q", text, got)
		}
	}
	if got := redact.Text("plain and simple", redact.String{}, redact.NewString("\n\x00")); got != "plain and simple" {
		t.Errorf("the empty secret strikes: %q", got)
	}
}

func TestTextIsBoundedAtAWord(t *testing.T) {
	long := strings.Repeat("word ", 3000) + strings.Repeat("0123456789abcdef", 1000)
	if got := redact.Text(long); len(got) > 8<<10 || !strings.HasSuffix(got, "word") {
		t.Errorf("got %d bytes, which end in %q", len(got), got[len(got)-20:])
	}
	if got := redact.Text(strings.Repeat("0123456789abcdef", 1000)); got != "" {
		t.Errorf("one word of 16,000 characters becomes %q", got)
	}
}

func TestCutLeavesNoHalfOfAPlaceholder(t *testing.T) {
	for _, test := range []struct {
		text  string
		limit int
		want  string
	}{
		{"", 0, ""}, {"abc", 0, ""}, {"abc", 3, "abc"}, {"äöü", 2, "äö"}, {"ab c", 3, "ab"}, {"ab ", 3, "ab "},
		{"a [redacted] b", 2, "a"}, {"a [redacted] b", 3, "a"}, {"a [redacted] b", 11, "a"}, {"a [redacted] b", 12, "a [redacted]"},
		{"a [redacted] b", 13, "a [redacted]"}, {"a [reduced] b", 8, "a [reduc"},
	} {
		if got := redact.Cut(test.text, test.limit); got != test.want {
			t.Errorf("%q, %d: got %q, want %q", test.text, test.limit, got, test.want)
		}
	}
}

// encodings are the forms in which random bytes become a token of 20 characters or more.
var encodings = map[string]func([]byte) string{
	"hex":       hex.EncodeToString,
	"base32":    base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString,
	"base62":    func(b []byte) string { return new(big.Int).SetBytes(b).Text(62) },
	"base64":    base64.StdEncoding.EncodeToString,
	"base64url": base64.RawURLEncoding.EncodeToString,
	"URL":       func(b []byte) string { return url.QueryEscape(base64.StdEncoding.EncodeToString(b)) },
}

// digits keeps digits and drops all other characters, for strings.Map.
func digits(r rune) rune {
	if unicode.IsDigit(r) {
		return r
	}
	return -1
}

// FuzzText checks that a token of random bytes does not survive, no matter which text is around
// it, and that a named secret does not survive, either. The result must be a printable line,
// and a second run must not change it.
func FuzzText(f *testing.F) {
	f.Add("no grant ", " is known", []byte("seed"), uint8(20), false)
	f.Add("Bearer token=", "&key=\u200b", []byte{1}, uint8(32), true)
	f.Fuzz(func(t *testing.T, before, after string, seed []byte, size uint8, split bool) {
		if len(before)+len(after) > 4<<10 {
			return
		}
		sum := sha256.Sum256(seed)
		for name, encode := range encodings {
			run := encode(sum[:16+size%17])
			if 6*len(strings.Map(digits, run)) < len(run) {
				// Letters with few digits among them can look like words: about one in 50,000
				// of these runs is taken for words.
				continue
			}
			sent := run
			if split {
				sent = run[:9] + "\u200b" + run[9:]
			}
			got := redact.Text(before + " " + sent + " " + after)
			if strings.Contains(got, run) {
				t.Errorf("the %s %s survives: %q", name, run, got)
			}
			if strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) || !utf8.ValidString(got) || strings.Contains(got, "  ") {
				t.Errorf("not a printable line: %q", got)
			}
			if again := redact.Text(got); again != got {
				t.Errorf("%q becomes %q", got, again)
			}
		}
		secret := redact.NewString("canary-s3cr3t")
		if got := redact.Text(before+"canary-\u200bs3cr3t"+after, secret); strings.Contains(got, secret.Reveal()) {
			t.Errorf("the secret survives: %q", got)
		}
	})
}
