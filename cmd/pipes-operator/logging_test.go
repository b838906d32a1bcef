package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

func TestValuesAreEncodedWithTheFirstLine(t *testing.T) {
	var out bytes.Buffer
	value := &counted{}
	logger := zap.New(zap.WriteTo(&out), zap.RawZapOpts(lazily())).WithValues("pipestoken", value).WithValues("reconcileID", "1")
	logger.V(1).Info("too detailed")
	if value.encoded != 0 || out.Len() != 0 {
		t.Fatalf("without a line, values were encoded %d times, and %q was written", value.encoded, out.String())
	}
	logger.Info("said", "more", true)
	logger.Info("again")
	var line map[string]any
	if err := json.Unmarshal(bytes.SplitN(out.Bytes(), []byte("\n"), 2)[0], &line); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	for key, want := range map[string]any{"msg": "said", "pipestoken": "counted", "reconcileID": "1", "more": true} {
		if line[key] != want {
			t.Errorf("%s is %v, want %v", key, line[key], want)
		}
	}
	if value.encoded != 1 {
		t.Errorf("for two lines of one logger, values were encoded %d times, want once", value.encoded)
	}
}

// counted counts how often it is encoded.
type counted struct{ encoded int }

func (c *counted) MarshalText() ([]byte, error) {
	c.encoded++
	return []byte("counted"), nil
}
