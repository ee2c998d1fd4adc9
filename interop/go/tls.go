package main

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"

	amqp "github.com/rabbitmq/amqp091-go"
)

// overTLS connects in all the ways that programs do; the folder of the certificates is in INTEROP_TLS.
func overTLS() {
	folder, address := os.Getenv("INTEROP_TLS"), os.Getenv("INTEROP_TLS_ADDRESS")
	connect := func(trusted string, version uint16, withCertificate bool) (*amqp.Connection, error) {
		pem, err := os.ReadFile(filepath.Join(folder, trusted))
		ok(err, "read the authority")
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		config := &tls.Config{RootCAs: roots, MinVersion: version, MaxVersion: version}
		if !withCertificate {
			return amqp.DialTLS("amqps://guest:guest@"+address, config)
		}
		pair, err := tls.LoadX509KeyPair(filepath.Join(folder, "client.pem"), filepath.Join(folder, "client.key"))
		ok(err, "read the certificate")
		config.Certificates = []tls.Certificate{pair}
		return amqp.DialTLS_ExternalAuth("amqps://"+address, config)
	}
	body := make([]byte, 3_000_000)
	_, err := rand.Read(body)
	ok(err, "random bytes")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, withCertificate := range []bool{false, true} {
			connection, err := connect("ca.pem", version, withCertificate)
			ok(err, "connect by "+tls.VersionName(version))
			channel, err := connection.Channel()
			ok(err, "open a channel")
			queue, err := channel.QueueDeclare("", false, false, true, false, nil)
			ok(err, "declare")
			ok(channel.Publish("", queue.Name, false, false, amqp.Publishing{Body: body}), "publish")
			got, found, err := channel.Get(queue.Name, true)
			ok(err, "get")
			expect(found && bytes.Equal(got.Body, body), true, "the body over "+tls.VersionName(version))
			ok(connection.Close(), "close")
		}
	}
	if _, err := connect("stranger.pem", tls.VersionTLS13, false); err == nil {
		fail("connected to a broker that is not trusted")
	}
}
