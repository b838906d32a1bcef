// Package fairqueue is the work queue of controllers whose objects belong to many tenants: no
// namespace slows another, whatever it edits, creates, or leaves hanging.
//
// An object is ready because of an event, or because its timer is due. A timer that is not due
// gives an event nothing: the event makes the object ready with a priority of its own.
//
// Who is next:
//
//  1. Half of the picks go to the namespace with the most urgent object, if any object is urgent:
//     withdrawals first, then renewals, the nearest deadline first.
//  2. The other half go to the namespace that has not been picked for the longest time. A pick of
//     the first kind counts, too. So a namespace that takes every urgent pick leaves the other half
//     to its neighbours: nobody gets less than half of what they get while it is quiet.
//  3. Within a namespace three picks of four take the most urgent object, and the fourth takes the
//     one that has waited longest. So every object has its turn.
//
// Who may be picked at all:
//
//   - A namespace may not hold more workers than are free. One namespace gets half of the workers,
//     the next one half of the rest, and so on: calls that hang leave workers to the others. One
//     withdrawal of each namespace runs beyond that: it must not wait for such calls to end.
//   - An object that was reconciled because of an edit, and for no other reason, waits for a second
//     before the next edit counts. Timers and urgent events do not wait.
//
// There is one entry for each object. Picking the object uses its timer up: a reconcile must end
// with a new one.
package fairqueue
