package s3blob

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/minio/minio-go/v7"
)

// reason says in an operator's words what an answer of S3 means here; "" for
// nothing better than what the server said.
func (s *Store) reason(said minio.ErrorResponse) string {
	switch said.Code {
	case minio.NoSuchBucket:
		return fmt.Sprintf("there is no bucket %q at %s: it has to be made first", s.o.Bucket, s.o.Endpoint)
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "InvalidSecurity", "XAdminUserNotFound":
		return fmt.Sprintf("%s does not accept the credentials", s.o.Endpoint)
	case minio.AccessDenied, "AllAccessDisabled", "AccountProblem":
		return fmt.Sprintf("access to bucket %q at %s is denied: the credentials must allow to list it, and to get, put and delete objects in it",
			s.o.Bucket, s.o.Endpoint)
	case "RequestTimeTooSkewed", "RequestExpired":
		return fmt.Sprintf("the clocks of this machine and of %s differ too much: set them by NTP", s.o.Endpoint)
	case "PermanentRedirect", "AuthorizationHeaderMalformed", "InvalidRegion", "IllegalLocationConstraintException":
		return fmt.Sprintf("bucket %q is not in region %q of %s", s.o.Bucket, s.o.Region, s.o.Endpoint)
	case "SlowDown", "SlowDownRead", "SlowDownWrite", "ServiceUnavailable", "XMinioServerNotInitialized":
		return fmt.Sprintf("%s is too busy", s.o.Endpoint)
	case "QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "InsufficientStorage":
		return fmt.Sprintf("bucket %q at %s is full", s.o.Bucket, s.o.Endpoint)
	}
	if said.StatusCode == http.StatusForbidden {
		return fmt.Sprintf("%s refuses bucket %q to these credentials", s.o.Endpoint, s.o.Bucket)
	}
	return ""
}

// isNotFound tells whether there is no such object.
func isNotFound(err error) bool {
	if err == nil {
		return false
	}
	said, ok := errors.AsType[minio.ErrorResponse](err)
	return ok && (said.Code == minio.NoSuchKey || said.Code == "" && said.StatusCode == http.StatusNotFound)
}

// hasChanged tells whether the object is not the one that was meant.
func hasChanged(err error) bool {
	said, ok := errors.AsType[minio.ErrorResponse](err)
	return ok && said.StatusCode == http.StatusPreconditionFailed
}
