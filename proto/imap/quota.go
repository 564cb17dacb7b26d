package imap

// GetQuota is RFC 9208 §4.1.1.
type GetQuota struct{ Root string }

// GetQuotaRoot is RFC 9208 §4.1.2.
type GetQuotaRoot struct{ Mailbox string }

// SetQuota is RFC 9208 §4.1.3. Resources that are not listed have no limit.
type SetQuota struct {
	Root   string
	Limits []ResourceLimit
}

// A ResourceLimit is how much there may be of a resource, whose name is in
// upper case.
type ResourceLimit struct {
	Resource string
	Limit    int64
}

func (c GetQuota) Name() string     { return "GETQUOTA" }
func (c GetQuotaRoot) Name() string { return "GETQUOTAROOT" }
func (c SetQuota) Name() string     { return "SETQUOTA" }

// maxResources bounds the resources of one SETQUOTA.
const maxResources = 16

func parseSetQuota(s *scanner) Command {
	c := SetQuota{Root: s.argument()}
	s.sp()
	s.list(true, func() {
		l := ResourceLimit{Resource: s.word()}
		s.sp()
		l.Limit = s.number64()
		for _, have := range c.Limits {
			if have.Resource == l.Resource {
				s.fail("resource named twice")
			}
		}
		if len(c.Limits) >= maxResources {
			s.fail("too many resources")
		}
		c.Limits = append(c.Limits, l)
	})
	return c
}
