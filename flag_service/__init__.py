"""The face: flags, alerts, uploads and worklists over HTTP."""
