// The AWS SDK for JavaScript v3.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";

const sts = new STSClient();

console.log(createRequire(import.meta.url)("@aws-sdk/client-sts/package.json").version);
for await (const _ of createInterface({ input: process.stdin })) {
  try {
    console.log("ok", (await sts.send(new GetCallerIdentityCommand())).Arn);
  } catch (error) {
    console.log("error", String(error).replaceAll("\n", " "));
  }
}
