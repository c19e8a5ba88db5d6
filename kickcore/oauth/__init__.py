"""OAuth 2.1 as Kick speaks it: PKCE, scopes, tokens, grants, login. All of it pure."""
