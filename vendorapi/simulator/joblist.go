package simulator

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Documented: without completedJobLookupTime a year is searched, and a page of
// GET Job holds 100.
const (
	defaultLookup = 31536000 * time.Second
	defaultLimit  = 100
)

// lookupTime returns a number of seconds as a duration, at most a hundred years.
func lookupTime(s scalar) time.Duration {
	n := s.number(int(defaultLookup / time.Second))
	return time.Duration(min(max(n, 0), 100*365*24*60*60)) * time.Second
}

// query selects the jobs of a job list.
type query struct {
	category   string // "active", "finished" or anything for all
	lookup     time.Duration
	client     int
	set        int
	subclient  int
	aged       bool // include aged jobs
	keep       func(j *job, now time.Time) bool
	less       func(a, b *job) int
	descending bool
	offset     int
	limit      int
}

// find returns a page of the matching jobs and the number of all that match.
//
// Assumed: the lookup time counts from the end of a finished job; active jobs are always
// listed; a job that is not yet visible is never listed.
func (s *Simulator) find(q query, now time.Time) (page []*job, total int) {
	cutoff := now.Add(-q.lookup)
	x := s.indexOf(q)
	if x == nil {
		return nil, 0
	}
	x.settle(now)
	var found []*job
	for _, j := range x.active {
		if s.selects(q, j, now) {
			found = append(found, j)
		}
	}
	for _, j := range x.since(cutoff) {
		if s.selects(q, j, now) {
			found = append(found, j)
		}
	}
	slices.SortFunc(found, byID)
	if q.less != nil {
		slices.SortStableFunc(found, q.less)
	}
	if q.descending {
		slices.Reverse(found)
	}
	first := min(max(q.offset, 0), len(found))
	last := len(found)
	if q.limit > 0 {
		last = min(first+q.limit, last)
	}
	return found[first:last], len(found)
}

// selects reports whether a job matches a query, apart from its lookup time.
func (s *Simulator) selects(q query, j *job, now time.Time) bool {
	ended := j.final(now)
	switch {
	case q.category == "active" && ended,
		q.category == "finished" && !ended,
		q.client != 0 && j.group.set.client.id != q.client,
		q.set != 0 && j.group.set.id != q.set,
		q.subclient != 0 && j.group.id != q.subclient,
		!q.aged && j.aged(now),
		now.Before(j.listed),
		!j.shown(now):
		return false
	}
	return q.keep == nil || q.keep(j, now)
}

// indexOf returns the smallest index that contains all matching jobs, or nil.
func (s *Simulator) indexOf(q query) *jobIndex {
	if q.subclient != 0 {
		if g := s.dir.groups[q.subclient]; g != nil {
			return &g.index
		}
		return nil
	}
	for _, c := range s.dir.clients {
		if c.id == q.client {
			return &c.index
		}
	}
	return &s.jobs.index
}

// jobList answers GET Job with a query.
//
// Documented: the parameters, and paging by the headers limit and offset.
// Recorded: clients send limit, offset, subclientId and backupsetId as
// parameters too (vendor's MCP server, Morpheus). Assumed: newest first.
func (s *Simulator) jobList(c *call) answer {
	values := c.r.URL.Query()
	number := func(name string, fallback int) int { return scalar(values.Get(name)).number(fallback) }
	page := func(name string, fallback int) int {
		return number(name, scalar(c.r.Header.Get(name)).number(fallback))
	}
	q := query{
		category:   strings.ToLower(values.Get("jobCategory")),
		lookup:     lookupTime(scalar(values.Get("completedJobLookupTime"))),
		client:     number("clientId", 0),
		set:        number("backupsetId", 0),
		subclient:  number("subclientId", 0),
		descending: true,
		offset:     page("offset", 0),
		limit:      page("limit", defaultLimit),
	}
	if filter := strings.ToLower(values.Get("jobFilter")); filter != "" {
		types := strings.Split(strings.NewReplacer(" ", "", "_", "").Replace(filter), ",")
		kept := make(map[string]bool) // by the type of a job
		q.keep = func(j *job, _ time.Time) bool {
			jobType, _ := j.kind()
			keep, known := kept[jobType]
			if !known {
				name := strings.ReplaceAll(strings.ToLower(jobType), " ", "")
				keep = slices.Contains(types, name) || name == "syntheticfull" && slices.Contains(types, "synthfull")
				kept[jobType] = keep
			}
			return keep
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	jobs, total := s.find(q, c.now)
	if c.fault.Kind == CutList {
		jobs = jobs[:len(jobs)/2]
	}
	return s.jobListAnswer(jobs, total, c.now)
}

// jobsRequest is the body of POST Jobs. Recorded: Postman collection and SDK.
type jobsRequest struct {
	Category     scalar `json:"category"` // 0 all, 1 active, 2 finished
	PagingConfig struct {
		SortField     scalar `json:"sortField"`
		SortDirection scalar `json:"sortDirection"`
		Offset        scalar `json:"offset"`
		Limit         scalar `json:"limit"`
	} `json:"pagingConfig"`
	JobFilter struct {
		CompletedJobLookupTime scalar   `json:"completedJobLookupTime"`
		ShowAgedJobs           scalar   `json:"showAgedJobs"`
		StatusList             []scalar `json:"statusList"`
		JobTypeList            []scalar `json:"jobTypeList"`
		BackupLevel            []scalar `json:"backupLevel"`
		ClientList             []struct {
			ClientID scalar `json:"clientId"`
		} `json:"clientList"`
		Entity struct {
			ClientID    scalar `json:"clientId"`
			BackupsetID scalar `json:"backupsetId"`
			SubclientID scalar `json:"subclientId"`
		} `json:"entity"`
	} `json:"jobFilter"`
}

// jobSearch answers POST Jobs.
//
// Recorded: entity.subclientId is the precise filter; jobTypeList 4 is a backup,
// 14 a synthetic full. Assumed: sortDirection 1 is descending, the default is
// descending by jobId and 20 at once.
func (s *Simulator) jobSearch(c *call) answer {
	var req jobsRequest
	if err := json.Unmarshal(c.body, &req); err != nil {
		return badRequest()
	}
	paging, filter := req.PagingConfig, req.JobFilter
	q := query{
		category:   categoryOf(req.Category),
		lookup:     lookupTime(filter.CompletedJobLookupTime),
		client:     filter.Entity.ClientID.number(0),
		set:        filter.Entity.BackupsetID.number(0),
		subclient:  filter.Entity.SubclientID.number(0),
		aged:       filter.ShowAgedJobs.isTrue(),
		descending: paging.SortDirection.number(1) != 0,
		offset:     paging.Offset.number(0),
		limit:      paging.Limit.number(20),
		keep: func(j *job, now time.Time) bool {
			_, opType := j.kind()
			return within(filter.JobTypeList, strconv.Itoa(opType)) &&
				within(filter.StatusList, j.at(now).Status) &&
				within(filter.BackupLevel, j.level().word, strconv.Itoa(j.level().inAnswer), j.level().nameInAnswer)
		},
	}
	if strings.EqualFold(string(paging.SortField), "jobStartTime") {
		q.less = func(a, b *job) int { return a.created.Compare(b.created) }
	}
	clients := make([]int, 0, len(filter.ClientList))
	for _, listed := range filter.ClientList {
		clients = append(clients, listed.ClientID.number(-1))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(clients) == 1 {
		q.client = cmp.Or(q.client, clients[0])
	}
	if len(clients) > 0 {
		keep := q.keep
		q.keep = func(j *job, now time.Time) bool {
			return slices.Contains(clients, j.group.set.client.id) && keep(j, now)
		}
	}
	jobs, total := s.find(q, c.now)
	if c.fault.Kind == CutList {
		jobs = jobs[:len(jobs)/2]
	}
	return s.jobListAnswer(jobs, total, c.now)
}

func categoryOf(s scalar) string {
	switch s {
	case "1":
		return "active"
	case "2":
		return "finished"
	}
	return strings.ToLower(string(s))
}

// within reports whether an optional list contains a value in one of its spellings.
func within(list []scalar, spellings ...string) bool {
	if len(list) == 0 {
		return true
	}
	return slices.ContainsFunc(list, func(item scalar) bool {
		return slices.ContainsFunc(spellings, func(s string) bool { return strings.EqualFold(s, string(item)) })
	})
}

// clientList answers GET Client. Recorded: the shape (SDK).
func (s *Simulator) clientList(*call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []fields{}
	for _, c := range s.dir.clients {
		list = append(list, fields{{"client", fields{{"clientEntity", fields{
			{"clientId", c.id}, {"clientName", c.name}, {"hostName", c.name}, {"displayName", c.name}}}}}})
	}
	return ok("App_GetClientPropertiesResponse", fields{{"clientProperties", list}})
}

// subclientList answers GET Subclient?clientId=. Recorded: the shape (SDK).
func (s *Simulator) subclientList(c *call) answer {
	wanted := scalar(c.r.URL.Query().Get("clientId")).number(0)
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []fields{}
	for _, known := range s.dir.clients {
		if known.id != wanted {
			continue
		}
		for _, set := range known.sets {
			for _, g := range set.order {
				list = append(list, fields{{"subClientEntity", g.entity()}})
			}
		}
	}
	return ok("App_GetSubClientPropertiesResponse", fields{{"subClientProperties", list}})
}
