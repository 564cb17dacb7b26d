package adminapi

import (
	"net/http"
	"time"

	"waxwing/mail"
	"waxwing/store/directory"
)

func aliasOf(a directory.Alias) Alias {
	targets := make([]string, len(a.Targets))
	for i, target := range a.Targets {
		targets[i] = target.String()
	}
	return Alias{Address: a.Address.String(), Targets: targets, Group: a.Group, Note: a.Note, Created: utc(a.Created)}
}

func addresses(list []string) ([]mail.Address, error) {
	if len(list) == 0 {
		return nil, problemf(http.StatusUnprocessableEntity, "an alias needs at least one target")
	}
	parsed := make([]mail.Address, len(list))
	for i, s := range list {
		var err error
		if parsed[i], err = address(s); err != nil {
			return nil, err
		}
	}
	return parsed, nil
}

func (a *API) listAliases(r *http.Request) (any, error) {
	after, err := optionalAddress(r.URL.Query().Get("after"))
	if err != nil {
		return nil, err
	}
	return paged(r, a.o.Directory.Aliases(r.Context(), after), aliasOf,
		func(a directory.Alias) string { return a.Address.String() })
}

func (a *API) addAlias(r *http.Request) (any, error) {
	body, err := decode[NewAlias](r)
	if err != nil {
		return nil, err
	}
	from, err := address(body.Address)
	if err != nil {
		return nil, err
	}
	targets, err := addresses(body.Targets)
	if err != nil {
		return nil, err
	}
	alias, err := a.o.Directory.AddAlias(r.Context(), time.Now(), directory.Alias{
		Address: from, Targets: targets, Group: body.Group, Note: body.Note,
	})
	if err != nil {
		return nil, foreign(from, err)
	}
	return aliasOf(alias), nil
}

func (a *API) getAlias(r *http.Request) (any, error) {
	from, err := address(r.PathValue("address"))
	if err != nil {
		return nil, err
	}
	alias, err := a.o.Directory.Alias(r.Context(), from)
	if err != nil {
		return nil, err
	}
	return aliasOf(alias), nil
}

func (a *API) changeAlias(r *http.Request) (any, error) {
	change, err := decode[AliasChange](r)
	if err != nil {
		return nil, err
	}
	from, err := address(r.PathValue("address"))
	if err != nil {
		return nil, err
	}
	var targets []mail.Address
	if change.Targets != nil {
		if targets, err = addresses(*change.Targets); err != nil {
			return nil, err
		}
	}
	alias, err := a.o.Directory.UpdateAlias(r.Context(), from, func(d *directory.Alias) error {
		if targets != nil {
			d.Targets = targets
		}
		set(&d.Group, change.Group)
		set(&d.Note, change.Note)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return aliasOf(alias), nil
}

func (a *API) deleteAlias(r *http.Request) (any, error) {
	from, err := address(r.PathValue("address"))
	if err != nil {
		return nil, err
	}
	return nil, a.o.Directory.DeleteAlias(r.Context(), from)
}
