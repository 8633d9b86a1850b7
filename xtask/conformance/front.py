"""TLS before the gateway, with a certificate of its own: the Live part of Google's SDK for Python speaks nothing else."""

import asyncio
import datetime
import ipaddress
import os
import ssl
import urllib.parse

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from checks import BASE_URL


def certificate(folder):
    """A certificate of its own for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "libra conformance")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = os.path.join(folder, "front.pem")
    with open(path, "wb") as file:
        file.write(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        file.write(made.public_bytes(serialization.Encoding.PEM))
    return path


async def front(pem):
    """Passes bytes between TLS and the gateway. Gives its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    gateway = urllib.parse.urlsplit(BASE_URL)

    async def copy(reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def serve(reader, writer):
        above, below = await asyncio.open_connection(gateway.hostname, gateway.port)
        await asyncio.gather(copy(reader, below), copy(above, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    return server.sockets[0].getsockname()[1]
