// Package http1 makes exchanges of HTTP/1.1 with one server, so that it is known
// of each whether any of it was sent.
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
// That is why it is not [net/http.Transport], which decides for itself what may be
// repeated and tells what it wrote by callbacks. Everything that reads is net/http's:
// heads and bodies of answers, with their framing. The work is done by the caller's
// goroutine, which costs a good deal less than two of its own for each connection.
//
// # Concurrency
//
// A [Transport] is safe for concurrent use. A connection carries one exchange at a
// time. Who finds MaxConns of them in use waits for one.
package http1
