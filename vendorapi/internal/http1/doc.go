// Package http1 makes HTTP/1.1 exchanges with one server and reports of each failure
// whether any byte of the request was sent.
//
// # Guarantees
//
// A request is sent at most once, in one write. [Error.Written] reports whether the network
// accepted any byte of it; if not, the server has not seen it. Only then does Do send it again, on
// a new connection, when a kept connection turns out to be closed. The deadline of the context is
// set on the connection and checked once more before the write, so a process that was frozen does
// not send late. Redirects are not followed, and HTTP/2, where a server can make clients repeat
// requests, is not used.
//
// # Why not net/http's transport
//
// [net/http.Transport] decides by itself which requests to repeat, and reports what it wrote by
// callbacks. Both can be handled: no Idempotency-Key, no HTTP/2, and a trace that notes the first
// header. The reason for this package is the cost of a request. BenchmarkExchange, two cores, five
// rounds, including the share of the server:
//
//	           CPU per exchange   allocations
//	http1      23–24 µs           1.6 kB in 23
//	net/http   36–39 µs           5.9 kB in 79
//
// That saves 13 µs and 56 allocations for each request; deploy/SCALING.md has the total cost of a
// request. The price is about 600 lines, which also replace other work of net/http: proxies (HTTP,
// HTTPS, SOCKS5), idle connections, gzip. All parsing is still that of net/http: heads and bodies
// of answers, with their framing. An exchange runs in the goroutine of its caller; net/http starts
// two for each connection.
//
// # Concurrency
//
// A [Transport] is safe for concurrent use. A connection carries one exchange at a
// time. Do blocks while MaxConns connections are in use.
package http1
