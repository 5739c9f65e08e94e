package schemas

import (
	"fmt"
	"strconv"
)

// LogCode returns a large error code of the vendor as the vendor's logs and articles write it: facility and
// number, "35:4618" for 587207178. It returns "" for other codes. Basis: saved answers of Events in
// the vendor's Postman collection (https://github.com/BrandonLundt/commvault-powershell-extentions)
// print 318767272 as "19:168".
func LogCode(code string) string {
	n, err := strconv.ParseUint(code, 10, 32)
	if err != nil || n < 1<<24 {
		return ""
	}
	return fmt.Sprintf("%d:%d", n>>24, n&(1<<24-1))
}
