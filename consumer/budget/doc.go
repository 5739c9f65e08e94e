// Package budget shares a limit on writing calls at the vendor between all replicas: the vendor
// counts the calls of a tenant, and not of a process.
//
// # Guarantees
//
// In any hour of the vendor's clock at most Config.PerHour calls arrive, whatever the replicas do
// and whatever their clocks say, as long as the calls are Backhaul's. A call is sent only
// after it is on record. Without a record that can be relied on, none is sent.
//
// # The record
//
// The record is the only message of the stream BACKUP_BUDGET. Every write replaces it by
// compare-and-set. It has for each call when it ended at the latest, rounded up to 10 s, and by whom
// it was made. A call counts from its grant until an hour and 5 s after that end. So of two calls in
// one hour by the vendor's clock, the later one was granted while the earlier one counted: it cannot
// arrive before its grant, and the earlier one cannot arrive after its end.
//
// A grant is a part of the process's lease. The lease is an entry that says how many of its calls
// have not ended, and by when they will have ended. The end of a call is put on record with the
// next grant, or a second later. A lease is a twentieth of the budget at most, and calls are granted
// when they are due, so a process that dies hardly loses any. What is certainly not sent is given back.
//
// # The order of starts
//
// The record also has the order of the starts, see package order: each start that is reserved takes
// the next turn, in the write that grants it. A replica that has chosen a request by an older order
// gets none, and chooses again. So one replica starts each request, and the order is one for all.
//
// # Clocks
//
// The record has the server's times only. A process reads the server's time with the record, and
// converts its own times from that by its monotonic clock, each to the side on which a call counts
// for longer. The deadline of a call is that of its lease by the local clock, taken before the lease
// is written. The 5 s are for servers of a cluster whose clocks differ.
//
// # A crash after each step
//
//	step               the others find                   why it is safe                     test
//	lease sent         the lease, or not                 it counts until its end and an     TestCrash
//	                                                     hour, used or not
//	lease written,     the lease                         the writer finds its own name in   TestALostAcknowledgement
//	answer lost                                          the record
//	call sent          the lease                         the call ended before the lease    TestCrash, TestSoak
//	start reserved,    the lease, and the next turn      the same; a turn without a start   TestReserve_crash
//	call not sent                                        delays a source by one turn
//	call ended         the lease                         the same                           TestSoak
//	end written        the end                           it is on record                    TestTake
//
// And without a crash:
//
//	what                                   what happens                                     test
//	replicas write at the same time        one of them reads again                          TestTake
//	replicas reserve the same turn         one of them has it, the others choose again      TestReserve
//	no answer, no stream, a full stream    nothing is granted, Trouble says why             TestStreamTroubles, TestMissingStream
//	a record that is lost or edited        a whole budget counts, from the last claim or    TestRecordTroubles
//	                                       from now on
//	the first use                          the same if requests were claimed in the last    TestFirstUse
//	                                       hour
//	the vendor refuses a call              nothing is granted for as long as it asks        TestCorrect, TestSoak_lowerLimit
//	the vendor's limit is lower            that limit holds for a day                       TestCorrect, TestSoak_lowerLimit
//	clocks differ                          only the server's decides                        TestSlidingHour
package budget
