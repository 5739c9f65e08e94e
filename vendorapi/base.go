package vendorapi

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// EndpointError says that something answers at the endpoint and that it is probably
// not the API: the usual mistake is a host without the API's path.
type EndpointError struct {
	Endpoint string
	// Try lists the endpoints at which the host may have the API.
	Try []string
}

func (e *EndpointError) Error() string {
	return "the API does not seem to be at the endpoint " + e.Endpoint + "; its base is usually " + strings.Join(e.Try, " or ")
}

// usualPaths are those at which Commvault's web servers have the API. Basis: the
// vendor's documentation, and what its Python SDK tries.
var usualPaths = []string{"/webconsole/api", "/commandcenter/api"}

// notAtBase adds an [*EndpointError] to the error of a call, if the answer says that
// the API has no such operation: then the endpoint is probably not its base.
func (c *Client) notAtBase(resp response, err error) error {
	if e, ok := errors.AsType[*Error](err); ok && e.Code == "" && noOperation(e.Op, resp) {
		e.Err = c.endpointError()
	}
	return err
}

// noOperation reports whether an answer says that there is no such operation. A login is
// also redirected, or answered by a page, where the endpoint is that of a website.
func noOperation(op string, resp response) bool {
	switch {
	case resp.Status == http.StatusNotFound, resp.Status == http.StatusMethodNotAllowed:
		return true
	case op != opLogin:
		return false
	}
	return redirectTarget(resp) != "" || resp.Status == http.StatusOK && isPage(resp.Body)
}

func (c *Client) endpointError() *EndpointError {
	e := &EndpointError{Endpoint: c.endpoint}
	u, err := url.Parse(c.endpoint)
	if err != nil { // New has read it
		return e
	}
	for _, path := range usualPaths {
		if path != u.Path {
			e.Try = append(e.Try, (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: path}).String())
		}
	}
	return e
}
