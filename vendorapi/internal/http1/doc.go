// Package http1 makes HTTP/1.1 exchanges with one server and reports of each failure
// whether any byte of the request was sent.
//
// # Guarantees
//
// A request goes out at most once, in one write. [Error.Written] tells whether the
// network took any byte of it: if not, the server has not seen it. Only then is it
// tried again, on a new connection, when a kept one turns out to be closed. A
// deadline of the context is set on the connection, and looked at once more before
// the write: a process that was frozen does not send late. Redirects are not
// followed, nothing is sent by HTTP/2, where a server can make clients repeat.
//
// # Why not net/http's transport
//
// [net/http.Transport] decides for itself what may be repeated, and reports what it wrote by
// callbacks. Both can be handled: no Idempotency-Key, no HTTP/2, and a trace that notes the first
// header. This package was kept because of what a request costs. BenchmarkExchange, two cores,
// five rounds, the server's share included:
//
//	           CPU per exchange   allocations
//	http1      23–24 µs           1.6 kB in 23
//	net/http   36–39 µs           5.9 kB in 79
//
// That is 13 µs and 56 allocations less for each request; deploy/SCALING.md has what a request
// costs in all. The price is about 600 lines, which also have to do what net/http did: proxies
// (HTTP, HTTPS, SOCKS5), idle connections, gzip. Everything that parses is still net/http's: heads and bodies of answers, with their
// framing. The caller's goroutine does the work; net/http starts two for each connection.
//
// # Concurrency
//
// A [Transport] is safe for concurrent use. A connection carries one exchange at a
// time. Do blocks while MaxConns connections are in use.
package http1
