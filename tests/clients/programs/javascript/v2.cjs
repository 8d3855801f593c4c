// The AWS SDK for JavaScript v2, which knows no AWS_ENDPOINT_URL_STS.
const { createInterface } = require("node:readline");
const AWS = require("aws-sdk");

const sts = new AWS.STS({ endpoint: process.env.STS_URL });

async function main() {
  console.log(AWS.VERSION);
  for await (const _ of createInterface({ input: process.stdin })) {
    try {
      console.log("ok", (await sts.getCallerIdentity().promise()).Arn);
    } catch (error) {
      console.log("error", String(error).replaceAll("\n", " "));
    }
  }
}

main();
