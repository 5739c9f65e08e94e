package publisher

// FollowerConsumer is the durable consumer of the events stream whose unacknowledged messages are
// the started jobs that are followed.
const FollowerConsumer = "follower"

// FollowerStateSubject is where the replica that follows jobs publishes once a second what it is
// doing. No stream has it: a state that was missed is followed by the next one.
const FollowerStateSubject = "backup.follower.state"

// TellFollowerState publishes the follower's state.
func (p *Publisher) TellFollowerState(state []byte) error {
	return p.js.Conn().Publish(FollowerStateSubject, state)
}
