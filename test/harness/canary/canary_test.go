package canary_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/pipes-operator/pipes-operator/test/harness/canary"
)

func TestCanariesAreFoundInEveryForm(t *testing.T) {
	for _, before := range []string{"", "x", "xy", "xyz"} {
		text := before + "canary" + "after"
		for form, written := range map[string]string{
			"as it is": text,
			"base64":   base64.StdEncoding.EncodeToString([]byte(text)),
			"hex":      hex.EncodeToString([]byte(text)),
			"a dump":   fmt.Sprintf("% x", text),
		} {
			long := strings.Repeat("-", 1000)
			if found := canary.Find(long + written + long); found == "" || len(found) > 260 {
				t.Errorf("%q, %s: found %q", before, form, found)
			}
		}
	}
	if found := canary.Find("a bird"); found != "" {
		t.Errorf("found %q", found)
	}
}
