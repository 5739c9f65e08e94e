package consumer

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// action is one step of an operator or a replica.
type action struct {
	name string
	do   func(*cancelModel)
}

// operatorActs are an operator's steps: he cancels what he saw earlier of the message that is returned.
func operatorActs(name string, message func(*cancelModel) *jetstream.RawStreamMsg) func() []action {
	return func() []action {
		var found Cancellable
		var ok bool
		return []action{
			{name + " looks", func(m *cancelModel) { found, ok = m.look(message(m)) }},
			{name + " cancels", func(m *cancelModel) {
				if ok {
					m.cancel(found)
				}
			}},
		}
	}
}

// replicaActs are steps of a replica, by their names.
func replicaActs(number int, names string) func() []action {
	return func() (actions []action) {
		for name := range strings.FieldsSeq(names) {
			do := map[string]func(*cancelModel, *modelReplica){
				"claim":     func(m *cancelModel, r *modelReplica) { m.claims(r, true) },
				"claim?":    func(m *cancelModel, r *modelReplica) { m.claims(r, false) }, // its lookup fails
				"call":      func(m *cancelModel, r *modelReplica) { m.call(r, true) },
				"call?":     func(m *cancelModel, r *modelReplica) { m.call(r, false) }, // it never arrives
				"answer":    func(m *cancelModel, r *modelReplica) { m.answer(r, false) },
				"refusal":   func(m *cancelModel, r *modelReplica) { m.answer(r, true) },
				"reconcile": (*cancelModel).reconcile,
				"release":   (*cancelModel).release,
				"die":       (*cancelModel).die,
				"inherit":   func(m *cancelModel, _ *modelReplica) { m.inherit(m.replicas[0]) },
				"recover":   (*cancelModel).doubtAll,
				"deny":      func(m *cancelModel, _ *modelReplica) { m.fail(0, "NOT_ALLOWED") },
				"wait":      func(m *cancelModel, _ *modelReplica) { m.expire = m.wait() },
				"expire":    func(m *cancelModel, _ *modelReplica) { m.expire() },
			}[name]
			actions = append(actions, action{fmt.Sprintf("replica %d: %s", number, name), func(m *cancelModel) { do(m, m.replicas[number]) }})
		}
		return actions
	}
}

// orders calls do with every order of the actors' steps, as the numbers of the actors.
func orders(left []int, order []int, do func([]int)) {
	done := true
	for actor := range left {
		if left[actor] > 0 {
			done = false
			left[actor]--
			orders(left, append(order, actor), do)
			left[actor]++
		}
	}
	if done {
		do(slices.Clone(order))
	}
}

// TestCancel_everyOrder goes through every order of the steps of few actors. TestCancel_property
// has more steps, by chance.
func TestCancel_everyOrder(t *testing.T) {
	t.Parallel()
	ann := operatorActs("ann", func(m *cancelModel) *jetstream.RawStreamMsg { return m.message })
	bob := operatorActs("bob", func(m *cancelModel) *jetstream.RawStreamMsg { return m.message })
	copied := operatorActs("bob", func(m *cancelModel) *jetstream.RawStreamMsg { // the request is in the queue twice
		again := *m.message
		again.Sequence, again.Time = again.Sequence+1_000_000, again.Time.Add(1)
		return &again
	})
	for name, test := range map[string]struct {
		actors []func() []action
		orders int
		ends   string
	}{
		"a claim":                         {[]func() []action{ann, replicaActs(0, "claim call answer")}, 10, "cancelled started"},
		"a claim that is refused":         {[]func() []action{ann, replicaActs(0, "claim call? refusal")}, 10, "cancelled failed"},
		"a claim that is released":        {[]func() []action{ann, replicaActs(0, "claim release"), replicaActs(1, "claim call answer")}, 210, " cancelled started"},
		"a claim again after a release":   {[]func() []action{ann, replicaActs(0, "claim release claim call answer")}, 21, "cancelled started"},
		"two claims":                      {[]func() []action{ann, replicaActs(0, "claim call answer"), replicaActs(1, "claim call answer")}, 560, "cancelled started"},
		"a dead owner with a job":         {[]func() []action{ann, replicaActs(0, "claim call"), replicaActs(1, "claim? release claim")}, 210, " cancelled started"},
		"a dead owner without a job":      {[]func() []action{ann, replicaActs(0, "claim call?"), replicaActs(1, "claim? release claim release")}, 420, " cancelled"},
		"a killed owner with a job":       {[]func() []action{ann, replicaActs(0, "claim call die"), replicaActs(1, "inherit claim")}, 210, " cancelled started"},
		"a killed owner without a job":    {[]func() []action{ann, replicaActs(0, "claim die"), replicaActs(1, "inherit claim call answer")}, 420, " cancelled started"},
		"a lost answer with a job":        {[]func() []action{ann, replicaActs(0, "claim call release"), replicaActs(1, "claim reconcile")}, 210, " cancelled started"},
		"a lost answer without a job":     {[]func() []action{ann, replicaActs(0, "claim call? answer reconcile release")}, 21, " cancelled"},
		"a ledger that is recovered":      {[]func() []action{ann, replicaActs(0, "recover"), replicaActs(1, "claim reconcile call answer")}, 105, "cancelled started"},
		"two operators":                   {[]func() []action{ann, bob, replicaActs(0, "claim call answer")}, 210, "cancelled started"},
		"two operators, after a release":  {[]func() []action{ann, bob, replicaActs(0, "claim release claim")}, 210, " cancelled"},
		"a copy of the request":           {[]func() []action{ann, copied, replicaActs(0, "claim call answer")}, 210, "cancelled started"},
		"a policy that denies it":         {[]func() []action{ann, replicaActs(0, "deny"), replicaActs(1, "claim release")}, 30, " cancelled failed"},
		"the end of a wait":               {[]func() []action{ann, replicaActs(0, "wait expire"), replicaActs(1, "claim release")}, 90, " cancelled failed"},
		"the end of a wait, and a start":  {[]func() []action{ann, replicaActs(0, "wait expire"), replicaActs(1, "claim call answer")}, 210, "cancelled failed started"},
		"two operators and a second look": {[]func() []action{ann, ann, bob}, 90, "cancelled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			model := cancelModels(t)
			var steps []int
			for _, actor := range test.actors {
				steps = append(steps, len(actor()))
			}
			ends, number := make(map[string]bool), 0
			orders(steps, nil, func(order []int) {
				number++
				run := &namedOrder{T: t}
				m := model(run)
				var actions [][]action
				for _, actor := range test.actors {
					actions = append(actions, actor())
				}
				for _, actor := range order {
					next := actions[actor][0]
					actions[actor] = actions[actor][1:]
					run.steps = append(run.steps, next.name)
					next.do(m)
				}
				m.check()
				ends[m.outcome()] = true
			})
			var all []string
			for end := range ends {
				all = append(all, end)
			}
			slices.Sort(all)
			if got := strings.Join(all, " "); got != test.ends || number != test.orders {
				t.Errorf("%d orders end as %q, want %d and %q", number, got, test.orders, test.ends)
			}
		})
	}
}

// namedOrder says after which steps a test fails.
type namedOrder struct {
	*testing.T
	steps []string
}

func (o *namedOrder) Fatal(arguments ...any) {
	o.Helper()
	o.T.Fatal(fmt.Sprint(arguments...), "after", strings.Join(o.steps, ", "))
}

func (o *namedOrder) Fatalf(format string, arguments ...any) {
	o.Helper()
	o.Fatal(fmt.Sprintf(format, arguments...))
}
