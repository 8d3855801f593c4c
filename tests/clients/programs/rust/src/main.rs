use aws_config::BehaviorVersion;
use aws_sdk_sts::error::DisplayErrorContext;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    println!("{}", aws_sdk_sts::meta::PKG_VERSION);
    let http = aws_smithy_http_client::Builder::new().build_http();
    let config = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .load()
        .await;
    let sts = aws_sdk_sts::Client::new(&config);
    for _ in std::io::stdin().lines() {
        match sts.get_caller_identity().send().await {
            Ok(identity) => println!("ok {}", identity.arn().unwrap_or_default()),
            Err(error) => println!(
                "error {}",
                DisplayErrorContext(error).to_string().replace('\n', " ")
            ),
        }
    }
}
