package config

import (
	"strconv"
	"time"

	"backhaul/consumer/follower"
)

// GroupFollow has the settings of the follower.
const GroupFollow Group = "follow"

// Follow has the settings of the follower, which `backhaul run` starts.
type Follow struct {
	// On is false if started jobs are not followed.
	On                       bool
	IntervalMin, IntervalMax time.Duration
	ReadsPerHour             int
	// For is how long a job is followed.
	For time.Duration
}

func (f *Follow) settings() []setting {
	return []setting{
		{
			group: GroupFollow, key: "follow.on", env: "BACKHAUL_FOLLOW", flag: "follow",
			field: &f.On, fallback: "true",
			usage: "follow started jobs to their end and report it",
			doc: "Of all replicas one follows at a time. If it is false for all, jobs have no job-finished event; those that " +
				"were started meanwhile are followed when it is true again.",
		},
		{
			group: GroupFollow, key: "follow.intervalMin", env: "BACKHAUL_FOLLOW_INTERVAL_MIN", flag: "follow-interval-min",
			field: &f.IntervalMin, fallback: text(follower.DefaultIntervalMin), least: int64(100 * time.Millisecond),
			usage: "time between two lists of jobs while something changes",
			doc:   "The budget may make it longer: lists have 60 % of it.",
		},
		{
			group: GroupFollow, key: "follow.intervalMax", env: "BACKHAUL_FOLLOW_INTERVAL_MAX", flag: "follow-interval-max",
			field: &f.IntervalMax, fallback: text(follower.DefaultIntervalMax), least: int64(100 * time.Millisecond),
			usage: "time between two lists of jobs while nothing changes",
		},
		{
			group: GroupFollow, key: "follow.readsPerHour", env: "BACKHAUL_FOLLOW_READS_PER_HOUR", flag: "follow-reads-per-hour",
			field: &f.ReadsPerHour, fallback: strconv.Itoa(follower.DefaultReadsPerHour), least: 10,
			usage: "most reads at the vendor in any hour for following jobs",
			doc: "Metallic's gateway allows a tenant 1,000 reads an hour. One list serves all followed jobs; a bad end costs " +
				"one read more.",
		},
		{
			group: GroupFollow, key: "follow.for", env: "BACKHAUL_FOLLOW_FOR", flag: "follow-for",
			field: &f.For, fallback: text(follower.DefaultFor), least: int64(time.Second),
			usage: "how long a job is followed before it is given up",
			doc:   "Then there is an event job-unfollowed.",
		},
	}
}

// check adds what is wrong with the settings together.
func (f Follow) check(e *Error) {
	if f.IntervalMax < f.IntervalMin {
		e.add("BACKHAUL_FOLLOW_INTERVAL_MAX: is %s, must be at least BACKHAUL_FOLLOW_INTERVAL_MIN, which is %s", f.IntervalMax, f.IntervalMin)
	}
}

// Follower returns the follower's configuration.
func (c *Config) Follower(owner string) follower.Config {
	return follower.Config{
		Owner: owner, IntervalMin: c.Follow.IntervalMin, IntervalMax: c.Follow.IntervalMax, ReadsPerHour: c.Follow.ReadsPerHour, For: c.Follow.For,
	}
}
