package simulator

import (
	"fmt"
	"time"

	"backhaul/vendorapi/recording"
)

// Config configures a simulated Commvault. The zero value is valid: every field's zero
// value selects its default, without faults.
type Config struct {
	// BasePath is the path of the web service in an endpoint URL.
	// "/" serves it at the root, as the SaaS gateway does. Defaults to "/webconsole/api" and
	// "/commandcenter/api".
	BasePath string
	// World defines the clients, content groups, plans and users. Defaults to DefaultWorld().
	World *World
	// Now is the clock of tokens, jobs and the Date header; waits use real timers. Defaults to time.Now.
	Now func() time.Time
	// TokenIdle is how long a login token may stay unused, unless Login sets another time. Defaults to 30 minutes.
	TokenIdle time.Duration
	// AccessTokenLife is how long an access token is valid, used or not. Defaults to 30 minutes.
	AccessTokenLife time.Duration
	// Gateway makes Login answer as the SaaS gateway does (data.authToken, sent as Bearer). Defaults to false.
	Gateway bool
	// Servers is the number of web servers behind a load balancer. Each knows only the login
	// tokens that it issued. Defaults to 1.
	Servers int
	// Sticky makes the load balancer keep a caller on one server by a cookie. Without it,
	// calls go to the servers in rotation. Defaults to false.
	Sticky bool
	// VisibleAfter is how long a started job stays invisible to every job request. Defaults to 0.
	VisibleAfter time.Duration
	// ListedAfter is how long a started job stays out of lists, while GET Job/{id} may show it. Defaults to 0.
	ListedAfter time.Duration
	// DescribedAfter is how long TaskDetails leaves jobDescription out. Defaults to 0.
	DescribedAfter time.Duration
	// HideDescriptions leaves jobDescription out of TaskDetails. Defaults to false.
	HideDescriptions bool
	// Conflict selects what happens to a backup whose content group is being backed up. Defaults to ConflictQueue.
	Conflict Conflict
	// Blackout starts with a blackout window: jobs get an id and stay Queued. See SetBlackout. Defaults to false.
	Blackout bool
	// JobDuration is the time a job runs, and the time of a step without one. Defaults to 2 seconds.
	JobDuration time.Duration
	// Lives are the lives that jobs get by chance. See SetLives. Defaults to none: jobs run and complete.
	Lives []LifeRule
	// ActionTime is how long a job is Suspend Pending or Kill Pending. Defaults to 0.
	ActionTime time.Duration
	// OldRelease leaves the end time and the transfer figures out of job answers, as older
	// releases do. Defaults to false.
	OldRelease bool
	// ForgetReasons leaves the pending reason out of the summaries of ended jobs. Defaults to false.
	ForgetReasons bool
	// Localized has localizedStatus by status. Defaults to the status itself.
	Localized map[string]string
	// RateLimit is the tenant's limit on calls. Defaults to none.
	RateLimit RateLimit
	// Recording, if non-nil, sets VisibleAfter, ListedAfter, DescribedAfter, Lives, and the errors,
	// formats and header fields of the endpoints. See [ReadRecording].
	Recording *recording.Recording
	// Seed makes the draws of fault probabilities repeatable. Defaults to 0.
	Seed int64
}

// RateLimit bounds the calls of one tenant in a period. A zero count means no limit.
type RateLimit struct {
	Writes int           // calls by any method except GET
	Reads  int           // calls by GET
	Period time.Duration // Defaults to one hour.
	// Sliding counts the calls of any period. Defaults to false: a period begins with the first
	// call in it, and the next one after its end.
	Sliding bool
}

// Conflict selects what the CommCell does with a backup whose content group is being
// backed up already. In Commvault it is the setting queueJobsIfConflictingJobsActive.
type Conflict int

// The conflict modes.
const (
	ConflictQueue  Conflict = iota // the new job waits until the active one has ended
	ConflictRefuse                 // CreateTask is refused, no job
	ConflictIgnore                 // both run at the same time
)

var conflictNames = [...]string{"queue", "refuse", "ignore"}

// String returns the name that ParseConflict reads.
func (c Conflict) String() string {
	if c < 0 || int(c) >= len(conflictNames) {
		return fmt.Sprintf("Conflict(%d)", int(c))
	}
	return conflictNames[c]
}

// ParseConflict reads "queue", "refuse" or "ignore".
func ParseConflict(name string) (Conflict, error) {
	for i, known := range conflictNames {
		if name == known {
			return Conflict(i), nil
		}
	}
	return 0, fmt.Errorf("unknown conflict mode %q: must be one of queue, refuse, ignore", name)
}

func (c Config) withDefaults() Config {
	if c.World == nil {
		c.World = DefaultWorld()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.TokenIdle <= 0 {
		c.TokenIdle = 30 * time.Minute
	}
	if c.AccessTokenLife <= 0 {
		c.AccessTokenLife = 30 * time.Minute
	}
	if c.JobDuration <= 0 {
		c.JobDuration = 2 * time.Second
	}
	if c.RateLimit.Period <= 0 {
		c.RateLimit.Period = time.Hour
	}
	return c
}
