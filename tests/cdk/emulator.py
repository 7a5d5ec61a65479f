"""ministack where every request counts as one over TLS.

The bucket of `cdk bootstrap` refuses requests without TLS, and ministack enforces that. Its own TLS
would also take port 443, which two runs on one machine cannot share.

Run in place of `python -m ministack`.
"""

from ministack import app

pin_request_origin = app.pin_request_origin
app.pin_request_origin = lambda address, _is_secure: pin_request_origin(address, True)

if __name__ == "__main__":
    app.main()
