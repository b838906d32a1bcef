// Package pipestoken keeps a valid token in the Secret of each PipesToken.
//
// A reconcile is observe → decide → act → report:
//
//   - observe (observe.go) reads the object, its environment, the grant and the metadata of its
//     Secret, all from caches;
//   - decide (decide.go) is a pure function from the observation to one action, and judge
//     (judge.go) is a pure function from the answer of WorkOS to its consequence;
//   - act (act.go) makes at most one call to WorkOS and one write of the Secret (write.go,
//     withdraw.go). A call takes time, therefore the data that its answer is judged by is observed
//     again afterwards (recheck.go);
//   - report (report.go) is the only place that turns the outcome into conditions, events, metrics
//     and the delay until the next reconcile (schedule.go).
//
// What one reconcile needs to know of the last one is in attempt.go. A second controller
// (expiry.go) reports that a token has expired, even if a reconcile is blocked.
package pipestoken
