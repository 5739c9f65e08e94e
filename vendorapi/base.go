package vendorapi

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// EndpointError is the error when the server at the endpoint is probably not the API. The usual
// cause is an endpoint without the path of the API.
type EndpointError struct {
	Endpoint string
	// Try lists the endpoints at which the host may have the API.
	Try []string
	// Setting is [Config.EndpointName].
	Setting string
}

func (e *EndpointError) Error() string {
	text := "the API does not seem to be at the endpoint " + e.Endpoint + "; its base is usually " + strings.Join(e.Try, " or ")
	if e.Setting != "" {
		text += ", to be set as " + e.Setting
	}
	return text
}

// usualPaths are the base paths of the API on Commvault's web servers. Basis:
// https://documentation.commvault.com/2023e/essential/post_run_backup_job_rest_api_operation_02.html
// and https://github.com/Commvault/cvpysdk, cvpysdk/commcell.py.
var usualPaths = []string{"/webconsole/api", "/commandcenter/api"}

// notAtBase adds an [*EndpointError] to the error of a call if the answer means that the operation
// does not exist: then the endpoint is probably not the base of the API.
func (c *Client) notAtBase(resp response, err error) error {
	if e, ok := errors.AsType[*Error](err); ok && e.Code == "" && noOperation(e.Op, resp) {
		e.Err = c.endpointError()
	}
	return err
}

// noOperation reports whether an answer means that the operation does not exist. For a login that
// includes a redirect and a page, which a website sends.
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
	e := &EndpointError{Endpoint: c.endpoint, Setting: c.endpointName}
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
