package adminapi

import (
	"net/http"
	"time"

	"waxwing/store/directory"
)

func domainOf(d directory.Domain) Domain {
	return Domain{Name: d.Name, CatchAll: d.CatchAll.String(), Created: utc(d.Created)}
}

func (a *API) listDomains(r *http.Request) (any, error) {
	return paged(r, a.o.Directory.Domains(r.Context(), r.URL.Query().Get("after")), domainOf,
		func(d directory.Domain) string { return d.Name })
}

func (a *API) addDomain(r *http.Request) (any, error) {
	body, err := decode[Domain](r)
	if err != nil {
		return nil, err
	}
	catchAll, err := optionalAddress(body.CatchAll)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	d, err := a.o.Directory.AddDomain(r.Context(), now, directory.Domain{Name: body.Name, CatchAll: catchAll})
	if err != nil {
		return nil, err
	}
	a.keysFor(r.Context(), now, d)
	return domainOf(d), nil
}

func (a *API) getDomain(r *http.Request) (any, error) {
	d, err := a.o.Directory.Domain(r.Context(), r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	return domainOf(d), nil
}

func (a *API) changeDomain(r *http.Request) (any, error) {
	change, err := decode[DomainChange](r)
	if err != nil {
		return nil, err
	}
	d, err := a.o.Directory.UpdateDomain(r.Context(), r.PathValue("name"), func(d *directory.Domain) (err error) {
		if change.CatchAll != nil {
			d.CatchAll, err = optionalAddress(*change.CatchAll)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return domainOf(d), nil
}

func (a *API) deleteDomain(r *http.Request) (any, error) {
	d, err := a.o.Directory.Domain(r.Context(), r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	if err := a.o.Directory.DeleteDomain(r.Context(), d.Name); err != nil || a.o.Signing == nil {
		return nil, err
	}
	return nil, a.o.Signing.RemoveDomain(r.Context(), d.Name)
}
