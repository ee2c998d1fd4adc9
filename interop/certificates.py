"""Certificates for the tls scenario, made anew for each run: an authority, a broker's, and a client's for guest."""

import shutil
import subprocess

PASSWORD = "interop"
"""Of client.p12, because Java takes none without."""


def available():
    """Why there can't be any, or None."""
    return None if shutil.which("openssl") else "not installed: openssl"


def openssl(directory, *arguments):
    """Runs openssl in a folder."""
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True, stdin=subprocess.DEVNULL)


def make(directory):
    """Writes ca.pem, server.pem and server.key, client.pem, client.key and client.p12, and a stranger's ca.pem."""
    for authority in ("ca", "stranger"):
        openssl(directory, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={authority}",
                "-keyout", f"{authority}.key", "-out", f"{authority}.pem")
    names = directory / "names"
    for owner, subject, extension in (
        ("server", "/CN=broker", "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n"),
        ("client", "/O=Interop/CN=guest", "extendedKeyUsage=clientAuth\n"),
    ):
        names.write_text(extension)
        openssl(directory, "req", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-keyout", f"{owner}.key",
                "-out", f"{owner}.csr")
        openssl(directory, "x509", "-req", "-in", f"{owner}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                "-CAcreateserial", "-days", "2", "-extfile", "names", "-out", f"{owner}.pem")
    openssl(directory, "pkcs12", "-export", "-in", "client.pem", "-inkey", "client.key", "-out", "client.p12",
            "-passout", f"pass:{PASSWORD}")


def settings(directory):
    """The broker's settings, as variables."""
    files = {"CERTIFICATE": "server.pem", "KEY": "server.key", "CA": "ca.pem"}
    return {f"LEPUS_TLS_{name}": str(directory / file) for name, file in files.items()} | {
        "LEPUS_TLS_PORT": "0",
        "LEPUS_TLS_VERIFY_PEER": "true",
        "LEPUS_TLS_LOGIN_FROM": "common_name",
    }
