import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.URI;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.util.VersionInfo;

public class S3a {
    public static void main(String[] arguments) throws Exception {
        System.out.println(VersionInfo.getVersion());
        Configuration hadoop = new Configuration();
        hadoop.set("fs.s3a.endpoint", System.getenv("S3_URL"));
        hadoop.set("fs.s3a.endpoint.region", System.getenv("AWS_REGION"));
        hadoop.set("fs.s3a.path.style.access", "true");
        // By default it takes one failure of the endpoint for the end of it.
        hadoop.set("fs.s3a.aws.credentials.provider",
                "software.amazon.awssdk.auth.credentials.ContainerCredentialsProvider");
        URI bucket = URI.create("s3a://" + System.getenv("S3_BUCKET") + "/");
        BufferedReader calls = new BufferedReader(new InputStreamReader(System.in));
        while (calls.readLine() != null) {
            try {
                Path first = FileSystem.get(bucket, hadoop).listStatus(new Path("/"))[0].getPath();
                System.out.println("ok " + first.getName());
            } catch (IOException error) {
                System.out.println("error " + error.getMessage().replace('\n', ' '));
            }
        }
    }
}
