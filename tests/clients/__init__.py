"""Real clients of the last ten years against the real daemon and the strict emulator: `make clients`.

A program in `programs/` is the smallest idiomatic one of its language. It makes one client with its SDK's *default*
credential chain, and calls when it is told to:

    on start    it prints the version of the SDK (or library), one line
    each line   of its standard input is one call with that one client; it prints one line:
                `ok <ARN>`, or for a client of S3 alone `ok <first key in the bucket>`, or `error <message on one line>`
    at the end  of its standard input it ends, with 0

It is given the two variables of the endpoint, AWS_REGION, AWS_DEFAULT_REGION, AWS_EC2_METADATA_DISABLED,
AWS_ENDPOINT_URL_STS, AWS_ENDPOINT_URL_S3, and for SDKs that do not know the last two the same as STS_URL and S3_URL;
S3_BUCKET names the bucket. A client whose construction asks for credentials is made at the first call, and made again
at the next one as long as that fails. A one-shot tool is a command line, run once for every call.
"""
