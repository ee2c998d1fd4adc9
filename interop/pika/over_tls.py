"""TLS: the broker is verified, versions, a client certificate in place of a password."""

import os
import pathlib
import ssl

import pika
from pika.credentials import ExternalCredentials

from scenario import expect


def over_tls(options):
    """Connects in all the ways that programs do; the folder of the certificates is in INTEROP_TLS."""
    folder = pathlib.Path(os.environ["INTEROP_TLS"])
    host, port = os.environ["INTEROP_TLS_ADDRESS"].split(":")

    def connect(trusted, version=None, with_certificate=False):
        context = ssl.create_default_context(cafile=folder / trusted)
        if version:
            context.minimum_version = context.maximum_version = version
        if with_certificate:
            context.load_cert_chain(folder / "client.pem", folder / "client.key")
        return pika.BlockingConnection(pika.ConnectionParameters(
            host, int(port), ssl_options=pika.SSLOptions(context, host),
            credentials=ExternalCredentials() if with_certificate else pika.PlainCredentials("guest", "guest")))

    body = os.urandom(3_000_000)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        for with_certificate in (False, True):
            connection = connect("ca.pem", version, with_certificate)
            channel = connection.channel()
            channel.confirm_delivery()
            queue = channel.queue_declare("", exclusive=True).method.queue
            channel.basic_publish("", queue, body)
            _, _, seen = channel.basic_get(queue, auto_ack=True)
            expect(seen == body, True, f"the body over {version.name}")
            connection.close()
    try:
        connect("stranger.pem")
    except ssl.SSLCertVerificationError:
        pass
    else:
        expect("connected", "refused", "a broker that is not trusted")


SCENARIOS = {"tls": over_tls}
