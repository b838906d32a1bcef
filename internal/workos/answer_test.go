package workos_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// tokenBody returns a good answer in which one field of the token has the given value. A new
// field is added, and a field with an empty value is left out.
func tokenBody(field, value string) string {
	fields := map[string]string{
		"object": `"access_token"`, "access_token": `"` + testToken + `"`, "expires_at": `null`, "scopes": `["repo"]`,
		"missing_scopes": `[]`,
	}
	fields[field] = value
	var members []string
	for name, value := range fields {
		if value != "" {
			members = append(members, fmt.Sprintf("%q:%s", name, value))
		}
	}
	return `{"active":true,"access_token":{` + strings.Join(members, ",") + `}}`
}

type response struct {
	status int
	body   string
}

func TestOutcomeAndMessageOfEachAnswer(t *testing.T) {
	const noToken = "the connection is active, but the answer holds no token"
	const notJSON = "the answer is not JSON"
	const notAnObject = "the answer is not a JSON object"
	const badExpiryForm = `the answer's "access_token.expires_at" is not a date and time in ISO 8601`
	const badExpiryType = `the answer's "access_token.expires_at" is neither a string nor null`
	const silent = "the answer does not say whether the connection is active"
	const redirect = ": the answer is a redirect, and the operator follows none; check spec.baseURL of the PipesEnvironment"
	const badCharacters = "the token holds characters that no access token can have"
	const badExpiry = `the answer's "access_token.expires_at" is not a time of this era`
	for name, test := range map[string]struct {
		response
		outcome workos.Outcome
		message string
	}{
		"token":                     {response{200, goodBody}, workos.OutcomeToken, ""},
		"token and error":           {response{200, strings.Replace(goodBody, "{", `{"error":"not_installed",`, 1)}, workos.OutcomeToken, ""},
		"token and strange error":   {response{200, strings.Replace(goodBody, "{", `{"error":{"a":[1]},`, 1)}, workos.OutcomeToken, ""},
		"unknown fields":            {response{200, strings.Replace(goodBody, "{", `{"new":{"a":[1,null]},`, 1)}, workos.OutcomeToken, ""},
		"unknown token fields":      {response{200, tokenBody("new", `{"a":1}`)}, workos.OutcomeToken, ""},
		"token as 201":              {response{201, goodBody}, workos.OutcomeToken, ""},
		"expired token":             {response{200, tokenBody("expires_at", `"2020-01-01T00:00:00Z"`)}, workos.OutcomeToken, ""},
		"no expiry field":           {response{200, tokenBody("expires_at", "")}, workos.OutcomeToken, ""},
		"not installed":             {response{200, `{"active":false,"error":"not_installed"}`}, workos.OutcomeNotInstalled, "the user has not connected this integration"},
		"needs reauthorization":     {response{200, `{"active":false,"error":"needs_reauthorization"}`}, workos.OutcomeNeedsReauthorization, "the user has to authorize this integration again"},
		"inactive with token":       {response{200, strings.Replace(goodBody, "true", "false", 1)}, workos.OutcomeInactive, "WorkOS gives no reason"},
		"inactive, unknown reason":  {response{200, `{"active":false,"error":"on\u0000 \u202ehold"}`}, workos.OutcomeInactive, "WorkOS gives the reason on hold"},
		"inactive, error no string": {response{200, `{"active":false,"error":{"code":1}}`}, workos.OutcomeInactive, "WorkOS gives no reason"},
		"inactive, selection":       {response{200, `{"active":false,"error":"account_selection_required"}`}, workos.OutcomeAccountSelectionRequired, "WorkOS gives the reason account_selection_required"},
		"inactive, mismatch":        {response{200, `{"active":false,"error":"auth_method_mismatch"}`}, workos.OutcomeAuthMethodMismatch, "WorkOS gives the reason auth_method_mismatch"},
		"inactive, busy":            {response{200, `{"active":false,"error":"refresh_in_progress"}`}, workos.OutcomeBusy, "WorkOS gives the reason refresh_in_progress"},
		"inactive, in capitals":     {response{200, `{"active":false,"ERROR":"not_installed"}`}, workos.OutcomeInactive, "WorkOS gives no reason"},
		"other members in capitals": {response{200, strings.Replace(goodBody, "{", `{"ACTIVE":false,"Error":"not_installed",`, 1)}, workos.OutcomeToken, ""},
		"and after the others":      {response{200, strings.TrimSuffix(goodBody, "}") + `,"Active":false,"ACCESS_TOKEN":{"access_token":"x"}}`}, workos.OutcomeToken, ""},
		"token's in capitals":       {response{200, tokenBody("Access_Token", `7`)}, workos.OutcomeToken, ""},
		"expiry in capitals":        {response{200, tokenBody("EXPIRES_AT", `"soon"`)}, workos.OutcomeToken, ""},
		"active twice, last counts": {response{200, strings.Replace(goodBody, "{", `{"active":false,`, 1)}, workos.OutcomeToken, ""},
		"white space everywhere":    {response{200, " {\n\"active\" :\ttrue ,\n\"access_token\": {\"access_token\" : \"gho\" , \"expires_at\" : null } }\r\n"}, workos.OutcomeToken, ""},
		"inactive, access_token 7":  {response{200, `{"active":false,"error":"not_installed","access_token":7}`}, workos.OutcomeNotInstalled, "the user has not connected this integration"},

		"empty":                    {response{200, ``}, workos.OutcomeUnreadable, notJSON},
		"no content":               {response{204, ``}, workos.OutcomeUnreadable, notJSON},
		"HTML":                     {response{200, `<html>`}, workos.OutcomeUnreadable, notJSON},
		"malformed":                {response{200, `{"active":true,`}, workos.OutcomeUnreadable, notJSON},
		"two documents":            {response{200, goodBody + goodBody}, workos.OutcomeUnreadable, notJSON},
		"list":                     {response{200, `[]`}, workos.OutcomeUnreadable, notAnObject},
		"null":                     {response{200, `null`}, workos.OutcomeUnreadable, notAnObject},
		"active missing":           {response{200, strings.Replace(goodBody, "active", "passive", 1)}, workos.OutcomeUnreadable, silent},
		"active null":              {response{200, `{"active":null,"error":"not_installed"}`}, workos.OutcomeUnreadable, silent},
		"active a string":          {response{200, `{"active":"true"}`}, workos.OutcomeUnreadable, `the answer's "active" is neither true nor false`},
		"active without token":     {response{200, `{"active":true}`}, workos.OutcomeUnreadable, noToken},
		"active, token null":       {response{200, `{"active":true,"access_token":null}`}, workos.OutcomeUnreadable, noToken},
		"active, token a string":   {response{200, `{"active":true,"access_token":"gho"}`}, workos.OutcomeUnreadable, `the answer's "access_token" is not an object`},
		"active, inner token gone": {response{200, tokenBody("access_token", "")}, workos.OutcomeUnreadable, noToken},
		"empty token":              {response{200, tokenBody("access_token", `""`)}, workos.OutcomeUnreadable, noToken},
		"token with newline":       {response{200, tokenBody("access_token", `"gho\n"`)}, workos.OutcomeUnreadable, badCharacters},
		"token with space":         {response{200, tokenBody("access_token", `"g ho"`)}, workos.OutcomeUnreadable, badCharacters},
		"token with NUL":           {response{200, tokenBody("access_token", `"gho\u0000"`)}, workos.OutcomeUnreadable, badCharacters},
		"token with DEL":           {response{200, tokenBody("access_token", `"gho\u007f"`)}, workos.OutcomeUnreadable, badCharacters},
		"token not ASCII":          {response{200, tokenBody("access_token", `"ghö"`)}, workos.OutcomeUnreadable, badCharacters},
		"token not UTF-8":          {response{200, tokenBody("access_token", "\"gh\xff\"")}, workos.OutcomeUnreadable, badCharacters},
		"largest token":            {response{200, tokenBody("access_token", `"`+strings.Repeat("a", 64<<10)+`"`)}, workos.OutcomeToken, ""},
		"oversized token":          {response{200, tokenBody("access_token", `"`+strings.Repeat("a", 64<<10+1)+`"`)}, workos.OutcomeUnreadable, "the token is longer than 64 KiB"},
		"token a number":           {response{200, tokenBody("access_token", `7`)}, workos.OutcomeUnreadable, `the answer's "access_token.access_token" is not a string`},
		"expiry no time":           {response{200, tokenBody("expires_at", `"soon"`)}, workos.OutcomeUnreadable, badExpiryForm},
		"expiry empty":             {response{200, tokenBody("expires_at", `""`)}, workos.OutcomeUnreadable, badExpiryForm},
		"expiry a number":          {response{200, tokenBody("expires_at", `1795442400`)}, workos.OutcomeUnreadable, badExpiryType},
		"expiry year 1":            {response{200, tokenBody("expires_at", `"0001-01-01T00:00:00Z"`)}, workos.OutcomeUnreadable, badExpiry},
		"expiry 1970":              {response{200, tokenBody("expires_at", `"1970-01-01T00:00:00Z"`)}, workos.OutcomeUnreadable, badExpiry},
		"expiry year 10000 in UTC": {response{200, tokenBody("expires_at", `"9999-12-31T23:59:59-01:00"`)}, workos.OutcomeUnreadable, badExpiry},
		"longer than 1 MiB":        {response{200, goodBody + strings.Repeat(" ", 1<<20)}, workos.OutcomeUnreadable, "the answer is longer than 1 MiB"},
		"just 1 MiB":               {response{200, goodBody + strings.Repeat(" ", 1<<20-len(goodBody))}, workos.OutcomeToken, ""},

		"400":                        {response{400, `{"message":"user_id must be a string"}`}, workos.OutcomeRejected, "user_id must be a string"},
		"401 empty":                  {response{401, ``}, workos.OutcomeKeyRejected, "HTTP 401 Unauthorized"},
		"401 with message":           {response{401, `{"message":"Could not authorize the request."}`}, workos.OutcomeKeyRejected, "Could not authorize the request."},
		"403":                        {response{403, `{"message":"No active member"}`}, workos.OutcomeForbidden, "No active member"},
		"403 without words":          {response{403, `{"code":"auth_method_mismatch"}`}, workos.OutcomeForbidden, "HTTP 403 Forbidden (auth_method_mismatch)"},
		"407":                        {response{407, `{"message":"Log in"}`}, workos.OutcomeUnavailable, "the proxy refuses the request: HTTP 407 Proxy Authentication Required"},
		"408":                        {response{408, ``}, workos.OutcomeUnavailable, "HTTP 408 Request Timeout"},
		"421":                        {response{421, `<html>`}, workos.OutcomeUnavailable, "HTTP 421 Misdirected Request"},
		"425":                        {response{425, ``}, workos.OutcomeUnavailable, "HTTP 425 Too Early"},
		"404":                        {response{404, `{"message":"Integration not found"}`}, workos.OutcomeNotFound, "Integration not found"},
		"409":                        {response{409, `{"code":"account_selection_required","message":"Several accounts"}`}, workos.OutcomeAccountSelectionRequired, "Several accounts"},
		"409 refresh":                {response{409, `{"code":"refresh_in_progress"}`}, workos.OutcomeBusy, "HTTP 409 Conflict (refresh_in_progress)"},
		"409 unknown code":           {response{409, `{"code":"under_way","message":"Wait"}`}, workos.OutcomeBusy, "Wait"},
		"409 code in capitals":       {response{409, `{"CODE":"account_selection_required","Message":"no"}`}, workos.OutcomeBusy, "HTTP 409 Conflict"},
		"409 HTML":                   {response{409, `<html>`}, workos.OutcomeBusy, "HTTP 409 Conflict"},
		"418 with unknown status":    {response{499, ``}, workos.OutcomeRejected, "HTTP 499"},
		"422 mismatch":               {response{422, `{"code":"auth_method_mismatch","message":"Not OAuth"}`}, workos.OutcomeAuthMethodMismatch, "Not OAuth"},
		"422 validation":             {response{422, `{"message":"Validation failed","errors":[{"code":"required","field":"user_id"}]}`}, workos.OutcomeRejected, "Validation failed user_id: required"},
		"422 of the newer kind":      {response{422, `{"code":"invalid_request_parameters","message":"Validation failed.","errors":[{"code":"invalid_user","message":"No such user"},{"field":"organization_id","message":"must be a string"},"and more",7,{}]}`}, workos.OutcomeRejected, "Validation failed. No such user (invalid_user); organization_id: must be a string; and more"},
		"422 with errors alone":      {response{422, `{"errors":[{"field":"user_id"}]}`}, workos.OutcomeRejected, "user_id"},
		"422 with many errors":       {response{422, `{"errors":["1","2","3","4","5","6","7","8","9"]}`}, workos.OutcomeRejected, "1; 2; 3; 4; 5; 6; 7; 8"},
		"422 with a map of errors":   {response{422, `{"message":"no","errors":{"user_id":["required"]}}`}, workos.OutcomeRejected, "no"},
		"OAuth's description":        {response{400, `{"error":"invalid_grant","error_description":"The grant is gone"}`}, workos.OutcomeRejected, "The grant is gone"},
		"both kinds of words":        {response{400, `{"message":"a","error_description":"b"}`}, workos.OutcomeRejected, "a"},
		"422 code no string":         {response{422, `{"code":["auth_method_mismatch"]}`}, workos.OutcomeRejected, "HTTP 422 Unprocessable Entity"},
		"message a list":             {response{400, `{"message":["a",7,"b"]}`}, workos.OutcomeRejected, "a; b"},
		"message of nothing":         {response{400, `{"message":" \n\u200b "}`}, workos.OutcomeRejected, "HTTP 400 Bad Request"},
		"message with line breaks":   {response{400, `{"message":" a\r\n\tb\u001b[31m \u202ec\ud800 "}`}, workos.OutcomeRejected, "a b[31m c\uFFFD"},
		"message of a token":         {response{400, goodBody}, workos.OutcomeRejected, "HTTP 400 Bad Request"},
		"429":                        {response{429, `{"message":"Slow down","code":"rate_limit_exceeded"}`}, workos.OutcomeRateLimited, "Slow down"},
		"500 HTML":                   {response{500, `<html>` + testToken + `</html>`}, workos.OutcomeUnavailable, "HTTP 500 Internal Server Error"},
		"500 JSON":                   {response{500, `{"message":"Oops"}`}, workos.OutcomeUnavailable, "Oops"},
		"503 concurrent":             {response{503, `{"code":"concurrent_request","message":"Retry"}`}, workos.OutcomeBusy, "Retry"},
		"500 concurrent":             {response{500, `{"code":"concurrent_request"}`}, workos.OutcomeUnavailable, "HTTP 500 Internal Server Error (concurrent_request)"},
		"503":                        {response{503, ``}, workos.OutcomeUnavailable, "HTTP 503 Service Unavailable"},
		"599":                        {response{599, ``}, workos.OutcomeUnavailable, "HTTP 599"},
		"302 to nowhere":             {response{302, `{"message":"Found"}`}, workos.OutcomeRejected, "HTTP 302 Found" + redirect},
		"301":                        {response{301, ``}, workos.OutcomeRejected, "HTTP 301 Moved Permanently" + redirect},
		"308":                        {response{308, ``}, workos.OutcomeRejected, "HTTP 308 Permanent Redirect" + redirect},
		"304":                        {response{304, ``}, workos.OutcomeRejected, "HTTP 304 Not Modified"},
		"error longer than 1 MiB":    {response{404, `{"message":"no"}` + strings.Repeat(" ", 1<<20)}, workos.OutcomeNotFound, "HTTP 404 Not Found"},
		"101, whose body never ends": {response{101, ``}, workos.OutcomeUnreadable, "HTTP 101 Switching Protocols"},
	} {
		t.Run(name, func(t *testing.T) {
			client := connectOnly(t, workos.Options{Transport: always(test.status, test.body)}, baseURL)
			answer := ask(t, client, alice)
			if answer.Outcome != test.outcome || answer.Message != test.message || !answer.Sent {
				t.Errorf("got %s %q, sent %v; want %s %q", answer.Outcome, answer.Message, answer.Sent, test.outcome, test.message)
			}
			if got := answer.Token.Value.Reveal() != ""; got != (test.outcome == workos.OutcomeToken) {
				t.Errorf("a token: %v", got)
			}
		})
	}
}

func TestTokenHoldsWhatWasSent(t *testing.T) {
	client := connectOnly(t, workos.Options{Transport: always(200, goodBody, "X-Request-ID", "req-1")}, baseURL)
	answer := ask(t, client, alice)
	if got := answer.Token.Value.Reveal(); got != testToken {
		t.Errorf("got the token %q", got)
	}
	if want := time.Date(2026, 11, 23, 14, 0, 0, 250e6, time.UTC); answer.Token.ExpiresAt != want {
		t.Errorf("got the expiry %v, want %v", answer.Token.ExpiresAt, want)
	}
	if !slices.Equal(answer.Token.Scopes, []string{"repo", "user:email"}) || !slices.Equal(answer.Token.MissingScopes, []string{"gist"}) {
		t.Errorf("got the scopes %q, missing %q", answer.Token.Scopes, answer.Token.MissingScopes)
	}
	if answer.RequestID != "req-1" {
		t.Errorf("got the request ID %q", answer.RequestID)
	}
}

func TestExpiryIsInUTC(t *testing.T) {
	body := tokenBody("expires_at", `"2026-11-23T16:00:00.5+02:00"`)
	answer := ask(t, connectOnly(t, workos.Options{Transport: always(200, body)}, baseURL), alice)
	if want := time.Date(2026, 11, 23, 14, 0, 0, 5e8, time.UTC); answer.Token.ExpiresAt != want {
		t.Errorf("got %v, want %v", answer.Token.ExpiresAt, want)
	}
}

func TestExpiryThatIsNullOrAbsentIsNone(t *testing.T) {
	for _, value := range []string{"null", ""} {
		answer := ask(t, connectOnly(t, workos.Options{Transport: always(200, tokenBody("expires_at", value))}, baseURL), alice)
		if answer.Outcome != workos.OutcomeToken || !answer.Token.ExpiresAt.IsZero() {
			t.Errorf("expires_at %q: got %+v", value, answer)
		}
	}
}

func TestScopesAreBounded(t *testing.T) {
	many := `["` + strings.Repeat(`a","`, 300) + `z"]`
	long := `["` + strings.Repeat("ä", 600) + `"]`
	for name, test := range map[string]struct {
		value string
		want  []string
	}{
		"absent":      {"", nil},
		"null":        {"null", nil},
		"none":        {"[]", nil},
		"null inside": {`[null,"repo"]`, []string{"repo"}},
		"unprintable": {`["re\u0000po\n"," ","\u202e"]`, []string{"repo"}},
		"too many":    {many, slices.Repeat([]string{"a"}, 256)},
		"blank first": {`["","` + strings.Repeat(`a","`, 300) + `z"]`, slices.Repeat([]string{"a"}, 256)},
		"a string":    {`" repo  user:email"`, []string{"repo", "user:email"}},
		"a number":    {`7`, nil},
		"an object":   {`{"repo":true}`, nil},
		"mixed":       {`["repo",7,["x"],{"y":1},true]`, []string{"repo"}},
		"secrets":     {`["` + testToken + `","` + testKey + `"]`, []string{"[redacted]", "[redacted]"}},
		"too long":    {long, []string{strings.Repeat("ä", 512)}},
	} {
		for _, field := range []string{"scopes", "missing_scopes"} {
			t.Run(name+" "+field, func(t *testing.T) {
				answer := ask(t, connectOnly(t, workos.Options{Transport: always(200, tokenBody(field, test.value))}, baseURL), alice)
				got := answer.Token.Scopes
				if field == "missing_scopes" {
					got = answer.Token.MissingScopes
				}
				if !slices.Equal(got, test.want) || (got == nil) != (test.want == nil) {
					t.Errorf("got %q, want %q", got, test.want)
				}
			})
		}
	}
}

func TestMessageIsCutTo256Characters(t *testing.T) {
	long := strings.Repeat("ä", 300)
	for name, test := range map[string]response{
		"message": {400, `{"message":"` + long + `"}`},
		"reason":  {200, `{"active":false,"error":"` + long + `"}`},
	} {
		t.Run(name, func(t *testing.T) {
			answer := ask(t, connectOnly(t, workos.Options{Transport: always(test.status, test.body)}, baseURL), alice)
			if got := utf8.RuneCountInString(answer.Message); got != 256 || !utf8.ValidString(answer.Message) {
				t.Errorf("got %d characters", got)
			}
		})
	}
}

func TestRequestIDIsSanitized(t *testing.T) {
	for sent, want := range map[string]string{
		"":                                     "",
		"4f2c9c9e-8c0b-4f0e:a.B_1":             "4f2c9c9e-8c0b-4f0e:a.B_1",
		"a b\t<script>\"ä":                     "abscript",
		strings.Repeat("a", 200):               strings.Repeat("a", 128),
		"for-" + testKey + "-" + testKey + "-": "for-redacted-redacted-",
	} {
		client := connectOnly(t, workos.Options{Transport: always(http.StatusNotFound, "", "X-Request-ID", sent)}, baseURL)
		if got := ask(t, client, alice).RequestID; got != want {
			t.Errorf("%q: got %q, want %q", sent, got, want)
		}
	}
}

func TestOutcomesListsEachOnce(t *testing.T) {
	outcomes := workos.Outcomes()
	slices.Sort(outcomes)
	if len(slices.Compact(outcomes)) != 15 {
		t.Errorf("got %d outcomes", len(outcomes))
	}
}

// People who may not read Secrets can read messages.
func TestMessagesHoldNoCredentials(t *testing.T) {
	const refresh = "ghr_1B4a2e77838347a7E420ce178F2E7c6912E169246c34E1"
	for name, test := range map[string]struct {
		response
		want string
	}{
		"message":           {response{400, `{"message":"invalid_grant: refresh token ` + refresh + ` is revoked"}`}, "invalid_grant: refresh token [redacted] is revoked"},
		"description":       {response{400, `{"error_description":"` + refresh + ` is revoked"}`}, "[redacted] is revoked"},
		"list":              {response{400, `{"message":["a","` + refresh + `"]}`}, "a; [redacted]"},
		"errors":            {response{422, `{"errors":[{"field":"user_id","message":"` + refresh + `"}]}`}, "user_id: [redacted]"},
		"code":              {response{409, `{"code":"` + refresh + `"}`}, "HTTP 409 Conflict ([redacted])"},
		"reason":            {response{200, `{"active":false,"error":"` + refresh + `"}`}, "WorkOS gives the reason [redacted]"},
		"split":             {response{400, `{"message":"` + refresh[:8] + `\u200b` + refresh[8:] + `"}`}, "[redacted]"},
		"the key, split":    {response{400, `{"message":"no key ` + testKey[:8] + `\u0000` + testKey[8:] + `"}`}, "no key [redacted]"},
		"cut in the middle": {response{400, `{"message":"` + strings.Repeat("a ", 120) + refresh + `"}`}, strings.Repeat("a ", 120) + "[redacted]"},
		"cut placeholder":   {response{400, `{"message":"` + strings.Repeat("a ", 125) + refresh + `"}`}, strings.TrimSpace(strings.Repeat("a ", 125))},
		"IDs stay":          {response{403, `{"message":"user_01EHZNVPK3SFK441A1RGBFSHRT is no member of org_01EHZNVPK3SFK441A1RGBFSHRT"}`}, "user_01EHZNVPK3SFK441A1RGBFSHRT is no member of org_01EHZNVPK3SFK441A1RGBFSHRT"},
	} {
		t.Run(name, func(t *testing.T) {
			answer := ask(t, connectOnly(t, workos.Options{Transport: always(test.status, test.body)}, baseURL), alice)
			if answer.Message != test.want {
				t.Errorf("got %q, want %q", answer.Message, test.want)
			}
		})
	}
}
