package vendorapi

import (
	"context"
	"net/http"
	"slices"
)

const opClients = "Client"

// clientList is an answer to GET Client. Basis: https://github.com/Commvault/cvpysdk,
// cvpysdk/client.py, Clients._get_clients.
type clientList struct {
	Clients oneOrMany[struct {
		Client struct {
			Entity struct {
				Name string `json:"clientName" xml:"clientName,attr"`
			} `json:"clientEntity" xml:"clientEntity"`
		} `json:"client" xml:"client"`
	}] `json:"clientProperties" xml:"clientProperties"`
}

// CodeNoEligible is the vendor's code when no client or content group matches the names: 35:4618.
// Basis: the page of CreateTask.
const CodeNoEligible = "587207178"

// Clients returns the names of the vendor's clients that the user may see, sorted. The error is an
// [*Error].
func (c *Client) Clients(ctx context.Context) ([]string, error) {
	resp, err := c.read(ctx, call{op: opClients, method: http.MethodGet, path: "/Client"})
	if err != nil {
		return nil, err
	}
	var list clientList
	if err := decode(modernJSON(trimmed(resp.Body)), &list); err != nil {
		return nil, &Error{Op: opClients, Status: resp.Status, Message: excerpt(resp.Body), Err: err}
	}
	var names []string
	for _, entry := range list.Clients {
		if name := entry.Client.Entity.Name; name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}
