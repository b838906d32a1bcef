package workossim

import (
	"net/http"
	"slices"
	"time"
)

// replacement returns the answer that a fault sends in place of WorkOS.
func (s *Simulator) replacement(f *Fault) *answer {
	result := string(f.Kind)
	switch f.Kind {
	case FaultTimeout:
		return &answer{result: result, delivery: neverDeliver}
	case FaultReset:
		return &answer{result: result, delivery: resetConnection}
	case FaultEndlessBody:
		return &answer{status: http.StatusOK, result: result, contentType: typeJSON, delivery: deliverEndlessly}
	case FaultValidation:
		return s.validationAnswer(result, fieldError{Code: "invalid", Field: "user_id"})
	case FaultRateLimited:
		return statusAnswer(http.StatusTooManyRequests, result)
	case FaultServerError:
		return statusAnswer(http.StatusInternalServerError, result)
	case FaultAccountSelection:
		return statusAnswer(http.StatusConflict, result)
	case FaultAuthMethodMismatch:
		return statusAnswer(http.StatusUnprocessableEntity, result)
	default:
		return statusAnswer(f.Status, result)
	}
}

// encode turns the payload of an answer into its body, after the fault that applies to it. It
// reports whether the fault applied.
func (a *answer) encode(f *Fault, now time.Time) bool {
	spoiled := f != nil && a.canBeSpoiled(f.Kind)
	if spoiled {
		a.result = string(f.Kind)
	}
	switch {
	case a.payload != nil:
		if spoiled {
			a.payload.spoil(a, f.Kind, now)
		}
		a.contentType, a.body = typeJSON, mustMarshal(a.payload)
	case a.plain != nil:
		a.contentType, a.body = typeJSON, mustMarshal(a.plain)
		if spoiled && f.Kind == FaultExtraFields {
			a.body = append([]byte(`{"x_future_field":"unknown",`), a.body[1:]...)
		}
	}
	if spoiled {
		a.spoilBody(f.Kind)
	}
	return spoiled
}

// canBeSpoiled reports whether a fault of the kind changes the answer. Faults of a token leave
// answers without a token alone.
func (a *answer) canBeSpoiled(kind FaultKind) bool {
	switch kind.class() {
	case spoilsAnswer:
		return a.payload != nil || a.plain != nil && kind != FaultUnknownError
	case spoilsToken:
		return a.payload != nil && a.payload.Active
	default:
		return false
	}
}

// spoilBody changes the encoded JSON of an answer of status 200.
func (a *answer) spoilBody(kind FaultKind) {
	switch kind {
	case FaultMalformedJSON:
		a.body = append(slices.Clip(a.body[:len(a.body)-1]), ",]"...)
	case FaultTruncatedJSON:
		a.delivery = deliverHalf
	}
}
