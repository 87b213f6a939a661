"""What all requests and answers keep to: their largest sizes, and the headers that every answer has."""

BODY_LIMIT = 64 * 1024  # bytes of a request's body
HEADER_LIMIT = 16 * 1024  # bytes of all headers of a request together
ANSWER_LIMIT = 1024 * 1024  # bytes of a list; what does not fit is on its next page
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
