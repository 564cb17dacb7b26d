package app

import (
	"fmt"

	"waxwing/app/config"
	"waxwing/flow/deliver"
	"waxwing/flow/spam"
	"waxwing/mail"
)

// openFilters gives those who are asked about mail from outside and about that
// of our own users.
func (a *App) openFilters(d *deliver.Deliverer) (incoming, outgoing *spam.Filters, err error) {
	c := a.config.Filters
	common := spam.Options{
		Hostname: a.config.Hostname, Version: Version(), Resolve: d.Resolve, Blobs: a.stores.blobs, Log: a.log,
		MaxMessage: 2 * mail.ByteCount(a.config.Limits.MessageSize.Octets()), // a filter may add to it
	}
	in, out := common, common
	out.Outgoing = true
	if in.Milters, err = milters(c.MX); err != nil {
		return nil, nil, fmt.Errorf("filters.mx: %w", err)
	}
	if out.Milters, err = milters(c.Submission); err != nil {
		return nil, nil, fmt.Errorf("filters.submission: %w", err)
	}
	if c.ClamAV.At != "" {
		network, address, err := config.FilterSocket(c.ClamAV.At)
		if err != nil {
			return nil, nil, fmt.Errorf("filters.clamav: %w", err)
		}
		in.ClamAV = &spam.ClamAV{
			Network: network, Address: address, Timeout: c.ClamAV.Timeout.Std(),
			WhenDown: spam.WhenDown(c.ClamAV.WhenDown), TooLarge: spam.WhenDown(c.ClamAV.TooLarge),
		}
		if c.ClamAV.Outgoing {
			out.ClamAV = in.ClamAV
		}
	}
	if c.Rspamd.At != "" {
		in.Rspamd, err = spam.NewRspamd(c.Rspamd.At, c.Rspamd.Timeout.Std(), spam.WhenDown(c.Rspamd.WhenDown))
		if err != nil {
			return nil, nil, fmt.Errorf("filters.rspamd: %w", err)
		}
		if c.Rspamd.Outgoing {
			out.Rspamd = in.Rspamd
		}
	}
	return spam.New(in), spam.New(out), nil
}

func milters(list []config.Milter) ([]spam.Milter, error) {
	var all []spam.Milter
	for _, m := range list {
		network, address, err := config.FilterSocket(m.At)
		if err != nil {
			return nil, err
		}
		all = append(all, spam.Milter{
			Network: network, Address: address, WhenDown: spam.WhenDown(m.WhenDown),
			ConnectTimeout: m.ConnectTimeout.Std(), CommandTimeout: m.CommandTimeout.Std(), ContentTimeout: m.ContentTimeout.Std(),
		})
	}
	return all, nil
}
