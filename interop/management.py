"""What an operator does through the management API, for the Python clients."""

import json
import urllib.error
import urllib.parse
import urllib.request

from scenario import DEADLINE, Failure


class Operator:
    """Calls the API as the user of its URL, who must be an administrator."""

    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        self.base = f"{parts.scheme}://{parts.hostname}:{parts.port}/api"
        passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
        passwords.add_password(None, self.base, parts.username, parts.password, is_authenticated=True)
        self.opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(passwords))

    def __call__(self, method, *path, body=None):
        """Calls a method of the API at a path of these segments; gives what the answer holds."""
        url = "/".join([self.base, *(urllib.parse.quote(segment, safe="") for segment in path)])
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"content-type": "application/json"}, method=method)
        try:
            with self.opener.open(request, timeout=DEADLINE) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise Failure(f"{method} {url}: {error.code} {error.read().decode()}") from None
        return json.loads(text) if text else None

    def add_user(self, user, vhost, configure=".*", write=".*", read=".*"):
        """Makes a user with a password that is its name, and these permissions."""
        self("PUT", "users", user, body={"password": user, "tags": ""})
        if vhost:
            self("PUT", "permissions", vhost, user, body={"configure": configure, "write": write, "read": read})
